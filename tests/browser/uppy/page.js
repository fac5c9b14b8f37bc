// Uppy and its tus plugin as a page uses them, and for tests what they told.
import Uppy from "@uppy/core";
import Tus from "@uppy/tus";

async function newTicket() {
  const answer = await fetch("/tickets", { method: "POST" });
  return answer.text();
}

// How the ticket of a file gets to the server: a preprocessor of Uppy, and options of its plugin.
const WAYS = {
  header: (uppy, endpoint) => ({
    prepare: async (id) => uppy.setFileMeta(id, { ticket: await newTicket() }),
    options: { endpoint, headers: (file) => ({ "Upload-Ticket": file.meta.ticket }) },
  }),
  metadata: (uppy, endpoint) => ({
    prepare: async (id) => uppy.setFileMeta(id, { ticket: await newTicket() }),
    options: { endpoint },
  }),
  none: (uppy, endpoint) => ({ prepare: async () => {}, options: { endpoint } }),
  endpoint: (uppy, endpoint) => ({
    prepare: async (id) =>
      uppy.setFileState(id, { tus: { endpoint: endpoint + (await newTicket()) } }),
    options: {},
  }),
  uploadUrl: (uppy, endpoint) => ({
    prepare: async (id) =>
      uppy.setFileState(id, { tus: { uploadUrl: endpoint + (await newTicket()) } }),
    options: { uploadLengthDeferred: true },
  }),
};

window.start = (endpoint, way, more) => {
  const uppy = new Uppy();
  const { prepare, options } = WAYS[way](uppy, endpoint);
  uppy.use(Tus, { removeFingerprintOnSuccess: true, ...options, ...more });
  const prepared = new Set();
  uppy.addPreProcessor(async (ids) => {
    for (const id of ids.filter((id) => !prepared.has(id))) {
      prepared.add(id);
      await prepare(id);
    }
  });
  window.uppy = uppy;
  window.succeeded = [];
  window.failed = [];
  uppy.on("upload-success", (file) => window.succeeded.push(file.name));
  uppy.on("upload-error", (file, error, response) => {
    const text = response?.body.xhr.responseText;
    window.failed.push({ name: file.name, status: response?.status, text, message: error.message });
  });
  uppy.on("info-visible", () => {
    document.querySelector("[role=alert]").textContent = JSON.stringify(uppy.getState().info);
  });
  const chosen = document.getElementById("file").files;
  // With the path that its Dashboard adds.
  const meta = { relativePath: null };
  uppy.addFiles([...chosen].map((data) => ({ name: data.name, type: data.type, data, meta })));
  uppy.upload();
};
