// The list of all runs, and of the files that were dropped.

import { attempt, find, get, make, path } from "./dom.js";
import * as files from "./files.js";
import { actions, word } from "./run.js";

export async function show() {
  await runs();
  await files.show();
}

async function runs() {
  const place = find("#list");
  const found = await attempt(() => get("capture"));
  if (!found) return;
  if (!found.runs.length) {
    place.replaceChildren(make("p", { class: "soft" }, "Nothing was trained yet."));
    return;
  }
  place.replaceChildren(...found.runs.map((run) => make("article", { class: "card" },
    make("h2", {}, make("a", { href: `#${path("run", run.id)}` }, run.name)),
    make("p", { class: "soft" }, facts(run)),
    run.error ? make("p", { class: "failed" }, run.error) : null,
    make("div", { class: "actions" }, ...actions(run, show)))));
}

function facts(run) {
  const best = Object.entries(run.best ?? {}).filter(([, value]) => value !== null).sort()
    .map(([metric, value]) => metric.startsWith("esr/") ? `ESR ${metric.slice(4)} ${value.toPrecision(3)}` : `${value.toFixed(3)} nats`);
  const when = new Date(1000 * run.created).toLocaleString("en", { dateStyle: "medium", timeStyle: "short" });
  const steps = run.step ? `${run.step.toLocaleString("en")} steps` : "";
  return [word(run), ...best, steps, when].filter(Boolean).join(" · ");
}
