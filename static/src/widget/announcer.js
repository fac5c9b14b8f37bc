/**
 * What is said to those who listen instead of looking: little, and never one thing for each file.
 *
 * A batch is what is under way from the first upload until all are over; later additions join it.
 * Of a batch is said that it starts, 25, 50 and 75 %, that all of it is paused, and that it has
 * arrived. Failures are told at once, as alerts, those of one moment in one sentence. What is said
 * is a decision of this room; how it reaches a screen reader is for `speak` and `alarm`.
 */

import { is_over, summarise } from "./summary.js";

/** @typedef {import("../../incoming.js").Uploader} Uploader */
/** @typedef {import("./views.js").Words} Words */

const STEPS = [0.75, 0.5, 0.25];
// A short upload would say five things in as many seconds.
const SECONDS_BETWEEN_STEPS = 5;

/**
 * @param {object} means
 * @param {() => Words} means.words
 * @param {(sentence: string) => void} means.speak politely
 * @param {(sentence: string) => void} means.alarm at once
 * @param {() => number} means.now_s
 */
export function create_announcer({ words, speak, alarm, now_s }) {
  /** @type {Set<Uploader>} */
  const batch = new Set();
  let step = 0;
  let spoke_s = 0;
  let all_paused = false;

  /** @param {string} key @param {number} count @param {Record<string, string>} values */
  function say(key, count, values = {}) {
    const [first] = batch;
    speak(words().text(key, { name: first?.filename ?? "", count, ...values }));
  }

  return {
    /**
     * @param {Iterable<Uploader>} uploaders all of the page
     * @param {[name: string, message: string][]} failures since the last time
     */
    update(uploaders, failures) {
      const fresh = batch.size === 0;
      for (const uploader of uploaders) if (!is_over(uploader)) batch.add(uploader);
      if (failures.length > 0) {
        const [name, message] = failures[0];
        alarm(words().text("say_failed", { name, message, count: failures.length }));
      }
      if (batch.size === 0) return;
      const sum = summarise(batch);
      if (fresh) {
        step = 0;
        spoke_s = now_s();
        all_paused = false;
        say("say_started", sum.count);
      }
      if (sum.active === 0) {
        if (sum.finished === 1) {
          const only = [...batch].filter(({ phase }) => phase === "finished");
          batch.clear();
          batch.add(only[0]);
        }
        if (sum.finished > 0) say("say_finished", sum.finished);
        batch.clear();
        return;
      }

      const paused = sum.paused === sum.active;
      if (paused && !all_paused) say("say_paused", sum.paused);
      all_paused = paused;

      const reached = STEPS.find((limit) => sum.frac_stored >= limit) ?? 0;
      if (reached <= step) return;
      if (now_s() - spoke_s >= SECONDS_BETWEEN_STEPS) {
        spoke_s = now_s();
        say("say_progress", sum.count, { percent: words().format.percent(reached) });
      }
      step = reached;
    },
  };
}

/**
 * A live region that says one thing after another, and the same thing twice if it is said twice.
 * Of sentences that follow each other within a moment the last one is said.
 *
 * @param {HTMLElement} region with a role, in the page from the beginning
 * @param {(callback: () => void, seconds: number) => unknown} set_timer
 * @returns {(sentence: string) => void}
 */
export function create_voice(region, set_timer) {
  /** @type {string | null} */
  let next = null;
  return (sentence) => {
    if (next === null) {
      region.textContent = "";
      set_timer(() => {
        region.textContent = next;
        next = null;
      }, 0.15);
    }
    next = sentence;
  };
}
