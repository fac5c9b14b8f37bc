/**
 * Many uploads as one: the numbers of the total. Values only.
 *
 * What was cancelled or has failed will not come, so it counts neither as bytes to send nor as a
 * file; failures are counted apart.
 */

/** @typedef {import("../../incoming.js").Uploader} Uploader */
/** @typedef {ReturnType<typeof summarise>} Summary */

/** @param {Uploader} uploader */
export const is_over = ({ phase }) => phase === "finished" || phase === "cancelled" || phase === "failed";

/**
 * Whether bytes would have to be sent again, or a file chosen again, if the page were left now.
 *
 * @param {Uploader} uploader
 */
export const is_at_risk = ({ phase, handing_over }) =>
  !handing_over && (phase === "queued" || phase === "connecting" || phase === "uploading" || phase === "paused");

/** @param {Iterable<Uploader>} uploaders */
export function summarise(uploaders) {
  const sum = {
    /** Those that have come or still may. */
    count: 0,
    finished: 0,
    failed: 0,
    over: 0,
    /** Not over, and how many of them stand still because somebody wants that. */
    active: 0,
    paused: 0,
    can_pause: 0,
    can_cancel: 0,
    at_risk: 0,
    bytes_total: 0,
    bytes_acked: 0,
    bytes_tx: 0,
    bytes_per_s: 0,
    frac_stored: 0,
    frac_sent: 0,
    /** @type {number | null} */
    seconds_left: null,
  };
  for (const uploader of uploaders) {
    const { phase } = uploader;
    const over = is_over(uploader);
    sum[over ? "over" : "active"] += 1;
    if (phase === "failed") sum.failed += 1;
    if (phase === "failed" || phase === "cancelled") continue;
    sum.count += 1;
    sum.bytes_total += uploader.bytes_total;
    sum.bytes_acked += uploader.bytes_acked;
    sum.bytes_tx += uploader.bytes_tx;
    if (phase === "finished") sum.finished += 1;
    if (over) continue;
    sum.bytes_per_s += uploader.bytes_per_s ?? 0;
    if (phase === "paused") sum.paused += 1;
    else if (uploader.can_pause) sum.can_pause += 1;
    if (uploader.can_cancel) sum.can_cancel += 1;
    if (is_at_risk(uploader)) sum.at_risk += 1;
  }
  // Empty files have no bytes to count: then files are counted.
  const whole = sum.bytes_total || sum.count || 1;
  sum.frac_stored = (sum.bytes_total ? sum.bytes_acked : sum.finished) / whole;
  sum.frac_sent = Math.max(sum.frac_stored, sum.bytes_tx / whole);
  const bytes_left = sum.bytes_total - sum.bytes_acked;
  if (sum.bytes_per_s > 0 && bytes_left > 0) sum.seconds_left = bytes_left / sum.bytes_per_s;
  return sum;
}
