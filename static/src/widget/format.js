/**
 * Numbers as a person reads them, in the language of the document. Values only.
 *
 * Units are decimal, as file managers and networks count. A part is never rounded up to the whole:
 * 100 % means that nothing is missing.
 */

const BYTES = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];
/** @type {[unit: string, seconds: number][]} */
const DURATIONS = [
  ["day", 86400],
  ["hour", 3600],
  ["minute", 60],
  ["second", 1],
];

/** @typedef {ReturnType<typeof create_format>} Format */

/** @param {string | undefined} language undefined for that of the browser */
export function create_format(language) {
  // Making one is slow, and a thousand rows need the same few.
  /** @type {Map<string, Intl.NumberFormat>} */
  const made = new Map();
  const locale = is_language(language) ? language : undefined;

  /**
   * @param {number} value
   * @param {Intl.NumberFormatOptions} options
   */
  function number(value, options = {}) {
    const key = JSON.stringify(options);
    let format = made.get(key);
    if (!format) made.set(key, (format = new Intl.NumberFormat(locale, options)));
    return format.format(value).replaceAll(" ", "\u00a0"); // "5 MB" is not torn apart
  }

  /**
   * @param {number} value
   * @param {string} per
   */
  function bytes(value, per = "") {
    let power = 0;
    while (value >= 999.5 && power < BYTES.length - 1) {
      value /= 1000;
      power += 1;
    }
    return number(value, { style: "unit", unit: BYTES[power] + per, unitDisplay: "short", maximumSignificantDigits: 3 });
  }

  return {
    locale,
    number: (/** @type {number} */ value) => number(value),
    bytes: (/** @type {number} */ value) => bytes(value),
    speed: (/** @type {number} */ bytes_per_s) => bytes(bytes_per_s, "-per-second"),
    percent: (/** @type {number} */ frac) => number(percent(frac) / 100, { style: "percent" }),
    /** Rounded up, so that a time that is shown is enough. @param {number} seconds */
    duration(seconds) {
      const [unit, length_s] = DURATIONS.find(([, length_s]) => seconds > length_s) ?? ["second", 1];
      const step = unit === "second" && seconds > 10 ? 5 : 1;
      const value = Math.max(1, Math.ceil(seconds / length_s / step) * step);
      return number(value, { style: "unit", unit, unitDisplay: "short" });
    },
    date: (/** @type {Date} */ date) =>
      new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" }).format(date),
  };
}

/** @param {number} frac @returns {number} a whole number from 0 to 100 */
export function percent(frac) {
  return Math.floor(Math.min(1, Math.max(0, frac)) * 100 + 1e-9);
}

/** @param {string | undefined} language */
function is_language(language) {
  try {
    return Boolean(language && Intl.getCanonicalLocales(language));
  } catch {
    return false; // <html lang="english">: not our mistake
  }
}
