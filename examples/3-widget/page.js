// The list of uploaded files as it is now, whenever one has arrived. One request at a time: of a
// thousand small files, most will be in an answer that others have asked for.
let renewal = Promise.resolve();
let is_asked_for = false;

document.addEventListener("incoming-finished", () => {
  if (is_asked_for) return;
  is_asked_for = true;
  renewal = renewal.then(renew).catch(() => {}); // The next one that arrives will bring the list.
});

async function renew() {
  is_asked_for = false;
  const answer = await fetch("/");
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  document.getElementById("uploads").replaceWith(page.getElementById("uploads"));
}
