// What the page does beyond links and forms; without this script everything is still reachable.
"use strict";

// A live run is looked at again every two seconds, but not by a tab that nobody sees.
const TICK_MS = 2000;
let ticks = 0;
setInterval(() => {
  if (document.hidden) return;
  ticks += 1;
  document.body.dispatchEvent(new CustomEvent("tick"));
  if (ticks % 5 === 0) document.body.dispatchEvent(new CustomEvent("slowtick"));
}, TICK_MS);

document.addEventListener("change", (event) => {
  if (event.target.matches("select[data-submits]")) event.target.form.requestSubmit();
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, select, textarea, [contenteditable]")) return;
  event.preventDefault();
  document.getElementById("find").select();
});

// A click on a word of a description asks why it is there.
document.addEventListener("click", (event) => {
  const said = event.target.closest("[data-words] .hop-text > .said");
  if (!said || event.target.closest("a") || !getSelection().isCollapsed) return;
  const word = wordAt(event.clientX, event.clientY);
  if (!word) return;
  const place = said.closest("[data-words]");
  const asked = new URLSearchParams(location.search);
  asked.set("n", place.dataset.node);
  asked.set("run", place.dataset.run);
  asked.set("hop", said.closest(".hop").dataset.hop);
  asked.set("word", word);
  location.assign(`/node?${asked}#why`);
});

function wordAt(x, y) {
  let node, offset;
  if (document.caretPositionFromPoint) {
    const caret = document.caretPositionFromPoint(x, y);
    if (caret) [node, offset] = [caret.offsetNode, caret.offset];
  } else if (document.caretRangeFromPoint) {
    const range = document.caretRangeFromPoint(x, y);
    if (range) [node, offset] = [range.startContainer, range.startOffset];
  }
  if (!node || node.nodeType !== Node.TEXT_NODE) return "";
  const words = new Intl.Segmenter(undefined, { granularity: "word" }).segment(node.data);
  const found = words.containing(Math.min(offset, node.data.length - 1));
  return found && found.isWordLike ? found.segment : "";
}
