/**
 * How it looks. Colours follow the `color-scheme` of the page; every one of them, the corners and
 * the height of the list are custom properties of the page, everything else is a `part`.
 *
 * Logical directions only, so that it also reads from right to left. One sheet for all elements of
 * a page, constructed, because a strict content security policy forbids a <style>.
 *
 * Names of its own begin with `--_`: `--accent: var(--incoming-accent)` would be a circle on a page that
 * sets `--incoming-accent: var(--accent)`, and no colour at all.
 */

const CSS = `
:host {
  --_accent: var(--incoming-accent, light-dark(#0b62c4, #62adff));
  --_ink: var(--incoming-ink, light-dark(#18212d, #e8edf4));
  --_quiet: var(--incoming-quiet, light-dark(#566273, #9dabbd));
  --_surface: var(--incoming-surface, light-dark(#fff, #1a212b));
  --_line: var(--incoming-line, light-dark(#d9e0e9, #323d4c));
  --_good: var(--incoming-good, light-dark(#137a3e, #5ccb88));
  --_wait: var(--incoming-wait, light-dark(#8f5600, #f2b35c));
  --_bad: var(--incoming-bad, light-dark(#b3261e, #ff8f86));
  --_radius: var(--incoming-radius, .75rem);
  display: block;
  color: var(--_ink);
  line-height: 1.4;
  text-align: start;
}
:host([hidden]), [hidden] { display: none !important; }
* { box-sizing: border-box; }
svg {
  flex: none;
  width: 1.25em;
  height: 1.25em;
  fill: none;
  stroke: currentColor;
  stroke-width: 2;
  stroke-linecap: round;
  stroke-linejoin: round;
}
.unseen, .unseen-input, li button:not([part~=button]) span {
  position: absolute;
  width: 1px;
  height: 1px;
  margin: -1px;
  overflow: hidden;
  clip-path: inset(50%);
  white-space: nowrap;
}

[part=zone] {
  display: flex;
  flex-direction: column;
  align-items: center;
  gap: .75rem;
  padding: 1.75rem 1rem;
  border: 2px dashed var(--_line);
  border-radius: var(--_radius);
  background: var(--_surface);
  text-align: center;
}
[part=zone] > svg { width: 2.25rem; height: 2.25rem; color: var(--_accent); }
[part=zone].over { border-color: var(--_accent); background: color-mix(in srgb, var(--_accent) 9%, var(--_surface)); }
[part=hint] { color: var(--_quiet); }
[part=notice] { color: var(--_bad); font-weight: 600; overflow-wrap: anywhere; }
[part=notice]:empty { display: none; }
.buttons { display: flex; flex-wrap: wrap; gap: .5rem; justify-content: center; }
label { position: relative; }

[part~=button], [part~=action] {
  display: inline-flex;
  align-items: center;
  justify-content: center;
  gap: .4em;
  min-height: 2.25rem;
  padding: .3rem .8rem;
  border: 1px solid var(--_line);
  border-radius: calc(var(--_radius) * .66);
  background: none;
  color: inherit;
  font: inherit;
  font-size: .875em;
  font-weight: 600;
  cursor: pointer;
}
[part~=choose] { border-color: var(--_accent); background: var(--_accent); color: var(--_surface); font-size: 1em; padding: .45rem 1.1rem; }
[part~=choose-folder] { background: none; color: var(--_accent); }
[part~=action]:not([part~=button]) { position: relative; width: 2.25rem; padding: 0; border-color: transparent; color: var(--_quiet); }
[part~=button]:hover, [part~=action]:hover { background: color-mix(in srgb, currentColor 10%, transparent); }
[part~=choose]:hover { background: color-mix(in srgb, var(--_accent) 86%, var(--_ink)); }
.off > svg, .off label { opacity: .55; pointer-events: none; }
:focus-visible, label:focus-within:has(:focus-visible) { outline: 3px solid var(--_accent); outline-offset: 2px; }

[part=total] {
  display: grid;
  grid-template-columns: 1fr auto;
  align-items: center;
  gap: 0 1rem;
  margin-top: 1rem;
}
[part=total-files], [part=total-status] { grid-column: 1; }
[part=total-files] { font-weight: 600; }
[part=total-status], [part=status] { color: var(--_quiet); font-size: .875em; }
[part=total] .buttons { grid-area: 1 / 2 / 3; }
[part|=total], [part=status] { font-variant-numeric: tabular-nums; }

[part=list] {
  position: relative;
  max-height: var(--incoming-list-height, 28rem);
  margin: 1rem 0 0;
  padding: 0;
  overflow-y: auto;
  border: 1px solid var(--_line);
  border-radius: var(--_radius);
  background: var(--_surface);
  list-style: none;
}
[part=list]:empty { display: none; }
li {
  position: relative;
  --_tone: var(--_quiet);
  display: grid;
  grid-template-columns: auto 1fr auto auto;
  column-gap: .75rem;
  align-items: center;
  padding: .75rem 1rem;
}
.many li { content-visibility: auto; contain-intrinsic-size: auto 5rem; }
li + li { border-top: 1px solid var(--_line); }
li:focus-visible { outline-offset: -3px; }
li[data-tone=busy] { --_tone: var(--_accent); }
li[data-tone=waits] { --_tone: var(--_wait); }
li[data-tone=good] { --_tone: var(--_good); }
li[data-tone=bad] { --_tone: var(--_bad); }
[part=icon] {
  grid-row: 1 / 3;
  display: grid;
  place-items: center;
  width: 2.25rem;
  height: 2.25rem;
  border-radius: calc(var(--_radius) * .66);
  background: color-mix(in srgb, var(--_tone) 13%, transparent);
  color: var(--_tone);
}
.title { grid-column: 2; overflow-wrap: anywhere; }
[part=name] { font-weight: 600; }
[part=folder] { color: var(--_quiet); }
[part=status] { grid-column: 2; min-height: 1.4em; overflow-wrap: anywhere; }
li:is([data-tone=waits], [data-tone=bad], [data-tone=good]) [part=status] { color: var(--_tone); }
li[data-tone=gone] [part=name] { color: var(--_quiet); }
.main { grid-area: 1 / 3 / 3; }
.end { grid-area: 1 / 4 / 3; }
.main:not([hidden]) + .end { margin-inline-start: -.5rem; }
[part~=bar] {
  position: relative;
  grid-column: 1 / -1;
  height: .375rem;
  margin-top: .625rem;
  overflow: hidden;
  border-radius: 1rem;
  background: color-mix(in srgb, var(--_quiet) 20%, transparent);
  --_tone: var(--_accent);
}
li [part~=bar] { --_tone: inherit; }
li[data-tone=idle] [part~=bar] { --_tone: var(--_accent); opacity: .75; }
[part=bar-sent], [part=bar-stored] { position: absolute; inset-block: 0; inset-inline-start: 0; border-radius: inherit; background: var(--_tone); transition: inline-size .25s linear; }
[part=bar-sent] { opacity: .35; }
.pulse { animation: pulse 1s infinite alternate; }
@keyframes pulse { to { opacity: .5; } }

@media (max-width: 30rem) {
  li { padding: .75rem; column-gap: .625rem; }
  li:has([part~=button]:not([hidden])) .main:not([hidden]) { grid-area: 3 / 2 / 4 / 3; justify-self: start; margin-top: .5rem; }
  li .end[part~=button]:not([hidden]) { grid-area: 3 / 2 / 4 / 5; justify-self: end; margin-top: .5rem; }
  [part=total] { grid-template-columns: 1fr; }
  [part=total] .buttons { grid-area: 4 / 1; justify-content: start; margin-top: .5rem; }
}
@media (pointer: coarse) {
  [part~=button], [part~=action] { min-height: 2.75rem; min-width: 2.75rem; }
}
@media (prefers-reduced-motion: reduce) {
  * { transition: none !important; }
  .pulse { animation: none; }
}
@media (forced-colors: active) {
  [part~=bar] { border: 1px solid CanvasText; forced-color-adjust: none; background: Canvas; }
  [part=bar-sent], [part=bar-stored] { background: Highlight; }
  [part~=choose] { border-color: ButtonText; }
}
`;

/** @type {CSSStyleSheet | null} */
let sheet = null;

/** @param {ShadowRoot} root */
export function adopt_style(root) {
  if (sheet === null) {
    sheet = new CSSStyleSheet();
    sheet.replaceSync(CSS);
  }
  root.adoptedStyleSheets = [sheet];
}
