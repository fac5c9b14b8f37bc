"use strict";

// Everything that an uploader says about itself.
const PROPERTIES = [
  "filename", "phase", "state_msg", "bytes_total", "bytes_tx", "bytes_acked", "bytes_ahead",
  "frac_complete", "bytes_per_s", "seconds_left", "chunks_tx_now", "chunks_acked_now",
  "chunks_ahead", "connected", "paused", "can_pause", "handing_over", "finished", "can_cancel",
  "cancelling", "cancelled", "cancel_msg", "trouble_code", "trouble_msg", "error_code", "error_msg",
];

const chooser = document.getElementById("files");
const message = document.getElementById("message");
const under_way = new Set(); // uploaders
let renewal = Promise.resolve(); // of the list of what has arrived
let is_asked_for = false;

chooser.onchange = () => {
  say("");
  for (const file of chooser.files) upload(file);
  chooser.value = ""; // so that the same file can be chosen again
};

show_arrived();
if (window.incoming) {
  show_left_over();
} else {
  chooser.disabled = true;
  say("The upload server cannot be reached. Please reload this page in a minute.", true);
}

// an upload

async function upload(file) {
  try {
    show(incoming.Uploader(await request_upload(file), file)).start();
  } catch (error) {
    say(`${file.name} cannot be uploaded: ${error.message}`, true);
  }
}

async function request_upload(file) {
  const answer = await fetch(
    `/api/frontend/request_upload?filename=${encodeURIComponent(file.name)}`,
  );
  const text = await answer.text();
  if (!answer.ok) throw new Error(text);
  return text;
}

// Give an uploader its place in the page, and the page its buttons.
function show(uploader) {
  const card = document.getElementById("upload").content.cloneNode(true).firstElementChild;
  const form = card.querySelector("form");
  const [pause, reason, cancel] = form.elements;
  const values = add_properties(card.querySelector("dl"));
  card.querySelector("h2").textContent = uploader.filename;
  document.getElementById("uploads").prepend(card);

  pause.onclick = () => uploader.pause("toggle");
  form.onsubmit = (event) => {
    event.preventDefault();
    uploader.cancel(reason.value || "The visitor gave no reason");
  };

  uploader.onprogress = () => {
    const { bytes_tx, bytes_total } = uploader;
    card.querySelector(".sent").value = bytes_total === 0 ? 1 : bytes_tx / bytes_total;
    card.querySelector(".stored").value = uploader.frac_complete;
    card.querySelector(".numbers").textContent = summary(uploader);
    pause.textContent = uploader.paused ? "Go on" : "Pause";
    pause.disabled = !uploader.can_pause;
    reason.disabled = cancel.disabled = !uploader.can_cancel;
    for (const [name, value] of values) value.textContent = uploader[name] ?? "–";
  };
  uploader.onfinished = () => {
    end("It has arrived.");
    show_arrived();
  };
  uploader.oncancelled = () => end(`It was cancelled: ${uploader.cancel_msg}`, true);
  uploader.onerror = () => end(uploader.error_msg, true);

  function end(text, is_error = false) {
    const outcome = card.querySelector(".outcome");
    outcome.textContent = text;
    outcome.classList.toggle("error", is_error);
    form.hidden = true;
    note_under_way(uploader, false);
  }

  note_under_way(uploader, true);
  uploader.onprogress();
  return uploader;
}

function add_properties(list) {
  return PROPERTIES.map((name) => {
    const pair = document.createElement("div");
    const [term, value] = ["dt", "dd"].map((tag) => document.createElement(tag));
    term.textContent = name;
    value.dataset.property = name;
    pair.append(term, value);
    list.append(pair);
    return [name, value];
  });
}

function summary({ bytes_acked, bytes_total, frac_complete, bytes_per_s, seconds_left, state_msg }) {
  const parts = [
    `${grouped(bytes_acked)} of ${grouped(bytes_total)} bytes (${Math.floor(100 * frac_complete)} %)`,
  ];
  if (bytes_per_s != null) parts.push(`${grouped(Math.round(bytes_per_s))} bytes/s`);
  if (seconds_left != null) parts.push(`${grouped(Math.ceil(seconds_left))} s left`);
  return `${parts.join(", ")} – ${state_msg}`;
}

// "Leave this page?" while something is under way
function note_under_way(uploader, is_under_way) {
  if (is_under_way) under_way.add(uploader);
  else under_way.delete(uploader);
  window.onbeforeunload = under_way.size > 0 ? (event) => event.preventDefault() : null;
}

// what an earlier page has begun

async function show_left_over() {
  const list = document.querySelector("#left-over ul");
  for (const begun of await incoming.resumable()) list.append(left_over_row(begun));
  hide_left_over_if_empty();
}

function hide_left_over_if_empty() {
  const section = document.getElementById("left-over");
  section.hidden = section.querySelector("li") === null;
}

function left_over_row(begun) {
  const row = document.getElementById("left-over-upload").content.cloneNode(true).firstElementChild;
  const [name, numbers, choices] = row.children;
  name.textContent = begun.filename;
  numbers.textContent = where_it_stands(begun);
  choices.hidden = begun.in_another_tab;

  choices.querySelector("input").onchange = ({ target }) =>
    leave_list(async () => {
      const uploader = await begun.resume(target.files[0]);
      show(uploader).start();
    });
  choices.querySelector("button").onclick = () =>
    leave_list(() => begun.discard("The visitor does not want to go on"));

  async function leave_list(action) {
    say("");
    try {
      await action();
    } catch (error) {
      return say(`${begun.filename}: ${error.message}`, true);
    }
    row.remove();
    hide_left_over_if_empty();
  }
  return row;
}

function where_it_stands({ bytes_acked, bytes_total, expires_at, in_another_tab }) {
  if (in_another_tab) return "is being sent in another tab";
  if (bytes_acked === null) return `${grouped(bytes_total)} bytes; the server cannot be asked`;
  const stored = `${grouped(bytes_acked)} of ${grouped(bytes_total)} bytes are stored`;
  return expires_at ? `${stored}, until ${expires_at.toLocaleString()}` : stored;
}

// what has arrived

// One question at a time, asked anew once something else has arrived: of two that overtake each
// other the older answer could stay.
function show_arrived() {
  if (is_asked_for) return;
  is_asked_for = true;
  renewal = renewal
    .then(renew_arrived)
    .catch((error) => say(`The list of what has arrived cannot be read: ${error.message}`, true));
}

async function renew_arrived() {
  is_asked_for = false;
  const answer = await fetch("/api/frontend/uploads");
  if (!answer.ok) throw new Error(await answer.text());
  const { uploads } = await answer.json();
  const section = document.getElementById("arrived");
  section.querySelector("p").hidden = uploads.length > 0;
  section.querySelector("ul").replaceChildren(...uploads.map(arrived_row));
}

function arrived_row({ id, filename, length, sha256 }) {
  const row = document.getElementById("arrived-file").content.cloneNode(true).firstElementChild;
  const [link, numbers, digest] = row.children;
  link.textContent = filename;
  link.href = `/uploads/${id}/${encodeURIComponent(filename)}`;
  numbers.textContent = `${grouped(length)} bytes`;
  digest.textContent = `SHA-256 ${sha256}`;
  return row;
}

// words

function grouped(number) {
  return number.toLocaleString("en");
}

function say(text, is_error = false) {
  message.textContent = text;
  message.classList.toggle("error", is_error);
}
