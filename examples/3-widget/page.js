// The list, as it is now, whenever nothing is under way any more.
document.addEventListener("incoming-all-over", async () => {
  const answer = await fetch("/");
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  document.getElementById("uploads").replaceWith(page.getElementById("uploads"));
});
