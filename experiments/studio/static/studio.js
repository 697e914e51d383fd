// Which page is shown; the address after # says it.

import { find, problem } from "./dom.js";
import * as capture from "./capture.js";
import * as play from "./play.js";
import * as run from "./run.js";
import * as runs from "./runs.js";
import * as voice from "./voice.js";

const PAGES = { capture: () => {}, play: play.show, voice: voice.show, runs: runs.show, run: run.watch };

// Returns the parts of an address that dom.js's `path` made; a person may have typed another.
function parts(address) {
  try {
    return address.split("/").map(decodeURIComponent);
  } catch {
    return [];
  }
}

function show(focus) {
  const [name, id] = parts(location.hash.slice(1));
  const page = Object.hasOwn(PAGES, name) ? name : "capture";
  problem("");
  run.leave();
  for (const section of document.querySelectorAll("main > section")) section.hidden = section.id !== page;
  for (const link of document.querySelectorAll("header nav a")) {
    const current = link.hash === `#${page === "run" ? "runs" : page}`;
    if (current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${page[0].toUpperCase()}${page.slice(1)} · Studio`;
  for (const element of document.querySelectorAll("wf-listening")) {
    if (element.closest("section")?.hidden) element.pause?.();
  }
  if (focus) find("#main").focus({ preventScroll: true });
  PAGES[page](id);
}

for (const page of [capture, play, voice]) page.begin();
window.addEventListener("hashchange", () => {
  if (location.hash === "#main") return;
  show(true);
  window.scrollTo(0, 0);
});
for (const type of ["dragover", "drop"]) window.addEventListener(type, (event) => event.preventDefault());
show(false);
