// Makes the listening element of reports from sounds of the server; see report/listening.js.

import { make } from "./dom.js";

// Returns the element for {name: address}; `reference` names the sound that others are compared with.
export function listening(sources, { rate = 48000, reference, label }) {
  const figures = Object.entries(sources).map(([name, address]) =>
    make("figure", { "data-reference": name === reference },
      make("figcaption", {}, name),
      make("audio", { controls: true, preload: "none", src: address })));
  return make("wf-listening", { "data-rate": String(rate), label }, ...figures);
}

// Puts a new element in the place of an old one, at its position and playing on.
export async function exchange(old, fresh) {
  fresh.hidden = true;
  old.after(fresh);
  await fresh.ready;
  if (old.state && fresh.state && Math.abs(old.duration - fresh.duration) < 0.01) {
    fresh.at = old.position;
    fresh.state = { ...fresh.state, ...old.state };
    fresh.show();
  }
  const plays = Boolean(old.nodes);
  const focused = old.contains(document.activeElement);
  old.remove();
  fresh.hidden = false;
  if (plays) fresh.play(fresh.at);
  if (focused) fresh.querySelector(".wave")?.focus({ preventScroll: true });
}
