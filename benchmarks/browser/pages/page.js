/**
 * What all pages have in common: a file chooser, a bar, and a clock from start to success.
 *
 * A page sets `globalThis.send(file, options, show)`: it sends the file with its client, as the
 * client's own documentation says, calls `show(share)` when the client tells of progress, and
 * resolves with a name or URL by which the server knows what it has stored.
 */

performance.setResourceTimingBufferSize(10_000); // of itself it keeps 250

globalThis.run = async (options) => {
  const [file] = document.getElementById("file").files;
  const bar = document.getElementById("bar");
  const show = (share) => (bar.value = share);
  const began_ms = performance.now();
  const stored_as = await globalThis.send(file, options, show);
  const seconds = (performance.now() - began_ms) / 1000;
  const requests = performance
    .getEntriesByType("resource")
    .filter(({ startTime }) => startTime >= began_ms)
    .map(({ startTime, responseEnd }) => [startTime - began_ms, responseEnd - began_ms]);
  return { seconds, stored_as, requests, is_secure: isSecureContext };
};
