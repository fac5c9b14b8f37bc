/** The warning before leaving, and the lock of the screen: there when needed, gone when not. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { create_leave_guard, create_screen_guard } from "../../static/src/widget/leaving.js";
import { settle } from "./fakes.js";

test("a page has a listener for leaving only while that would lose something", () => {
  const listeners = new Set();
  const guard = create_leave_guard({
    addEventListener: (_, listener) => listeners.add(listener),
    removeEventListener: (_, listener) => listeners.delete(listener),
  });
  const counts = [false, true, true, false, true].map((needed) => (guard(needed), listeners.size));
  assert.deepEqual(counts, [0, 1, 1, 0, 1]);
});

function screen() {
  const document = new EventTarget();
  document.visibilityState = "visible";
  const held = new Set();
  let refuse = false;
  const wake_lock = {
    async request() {
      if (refuse) throw new Error("NotAllowedError");
      const lock = { released: false, release: async () => ((lock.released = true), held.delete(lock)) };
      held.add(lock);
      return lock;
    },
  };
  return {
    held,
    guard: create_screen_guard(document, wake_lock),
    refuse: () => (refuse = true),
    show(state) {
      document.visibilityState = state;
      if (state === "hidden") for (const lock of [...held]) lock.release();
      document.dispatchEvent(new Event("visibilitychange"));
      return settle();
    },
  };
}

test("the screen stays awake while it is needed, and again when the page is seen again", async () => {
  const { guard, held, show } = screen();
  guard(true);
  await settle();
  assert.equal(held.size, 1);
  await show("hidden");
  assert.equal(held.size, 0);
  await show("visible");
  assert.equal(held.size, 1);
  guard(false);
  await settle();
  assert.equal(held.size, 0);
  await show("visible");
  assert.equal(held.size, 0);
});

test("a lock that comes too late is given back", async () => {
  const { guard, held } = screen();
  guard(true);
  guard(false);
  await settle();
  assert.equal(held.size, 0);
});

test("a browser may refuse, or not know of it", async () => {
  const { guard, held, refuse } = screen();
  refuse();
  guard(true);
  await settle();
  assert.equal(held.size, 0);
  create_screen_guard(new EventTarget(), undefined)(true);
});
