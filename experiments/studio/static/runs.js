// The list of all runs, and of the files that were dropped.

import { attempt, find, get, make, path } from "./dom.js";
import * as files from "./files.js";
import { actions, LIVE, word } from "./run.js";

let timer = null;

export async function show() {
  await runs();
  await files.show();
}

// Shows all runs, and goes on as long as one trains and they are looked at.
async function runs() {
  clearTimeout(timer);
  const place = find("#list");
  const found = await attempt(() => get("capture"));
  if (!found) return;
  const states = JSON.stringify(found.runs.map((run) => [run.id, run.state, run.name]));
  if (!found.runs.length) {
    place.replaceChildren(make("p", { class: "soft" }, "Nothing was trained yet."));
  } else if (states === place.dataset.states) { // or a focused button would be lost
    place.querySelectorAll(".facts").forEach((text, i) => { text.textContent = facts(found.runs[i]); });
  } else {
    place.replaceChildren(...found.runs.map((run) => make("article", { class: "card" },
      make("h2", {}, make("a", { href: `#${path("run", run.id)}` }, run.name)),
      make("p", { class: "soft facts" }, facts(run)),
      run.error ? make("p", { class: "failed" }, run.error) : null,
      make("div", { class: "actions" }, ...actions(run, show)))));
  }
  place.dataset.states = states;
  if (found.runs.some((run) => LIVE.includes(run.state))) {
    timer = setTimeout(() => { if (!find("#runs").hidden) runs(); }, 2000);
  }
}

function facts(run) {
  const best = Object.entries(run.best ?? {}).filter(([, value]) => value !== null).sort()
    .map(([metric, value]) => metric.startsWith("esr/") ? `ESR ${metric.slice(4)} ${value.toPrecision(3)}` : `${value.toFixed(3)} nats`);
  const when = new Date(1000 * run.created).toLocaleString("en", { dateStyle: "medium", timeStyle: "short" });
  const steps = run.step ? `${run.step.toLocaleString("en")} steps` : "";
  return [word(run), ...best, steps, when].filter(Boolean).join(" · ");
}
