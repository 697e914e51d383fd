// One run: its state, live curve, sounds so far, and what one can do with it.

import { ask, attempt, find, get, make, path, post, problem } from "./dom.js";
import { curve, sizesOf } from "./curve.js";
import { exchange, listening } from "./listen.js";
import { sure } from "./sure.js";

const WORDS = {
  running: "trains", waiting: "waits for another to end", finished: "finished", stopped: "stopped, the best is kept",
  failed: "failed", interrupted: "interrupted; it can go on",
};
export const LIVE = ["running", "waiting"];
let watched = null;

// Shows a run until another page is shown.
export async function watch(id) {
  watched = id;
  const place = find("#run");
  place.replaceChildren(make("p", { class: "soft" }, "Loading …"));
  const view = new View(place, id);
  let misses = 0;
  while (watched === id) {
    try {
      const state = await get(path("capture", id));
      if (watched !== id) return;
      if (misses) problem("");
      misses = 0;
      view.show(state);
      if (!LIVE.includes(state.state)) return;
    } catch (error) {
      if (watched === id) problem(error.message);
      if (++misses > 600) return;
    }
    await new Promise((resolve) => { setTimeout(resolve, 1000); });
  }
}

export const leave = () => { watched = null; };

// Says the state of a run.
export function word(run) {
  if (run.state === "stopped" && !run.kept) return "stopped before its first evaluation";
  return WORDS[run.state] ?? run.state;
}

class View {
  constructor(place, id) {
    this.id = id;
    this.heard = "";
    this.title = make("h1");
    this.state = make("p", { class: "state", role: "status" });
    this.bar = make("progress", { max: "1", "aria-label": "Training" });
    this.error = make("p", { class: "failed" });
    this.results = make("div", { class: "results" });
    this.curve = make("div", { class: "plot", hidden: true });
    this.sound = make("div");
    this.element = null;
    this.actions = make("div", { class: "actions" });
    this.log = make("pre", { tabindex: "0" });
    place.replaceChildren(this.title, this.state, this.bar, this.error, this.actions, this.results, this.curve,
      this.sound, make("details", {}, make("summary", {}, "What the training says"), this.log));
  }

  show(run) {
    this.title.textContent = run.name;
    this.state.textContent = progressText(run);
    this.bar.hidden = !LIVE.includes(run.state);
    const part = progress(run);
    if (part === null) this.bar.removeAttribute("value");
    else this.bar.value = part;
    this.error.textContent = run.error;
    this.error.hidden = !run.error;
    this.log.textContent = run.log || "nothing yet";
    this.best(run);
    if (run.records.length) {
      this.curve.hidden = false;
      this.curve.replaceChildren(curve(run.records, run.total_minutes));
    }
    this.listen(run);
    const buttons = actions(run, () => watch(run.id));
    const key = buttons.map((button) => button.textContent).join();
    if (key !== this.key) this.actions.replaceChildren(...buttons); // or a focused one would be lost
    this.key = key;
  }

  best(run) {
    const cards = Object.entries(run.best).filter(([, value]) => value !== null).sort().map(([metric, value]) => {
      const size = metric.split("/")[1];
      return make("div", { class: `result ${size}` },
        make("h2", {}, metric.startsWith("esr/") ? size : "likelihood"),
        make("p", {}, make("strong", {}, metric.startsWith("esr/") ? `ESR ${value.toFixed(4)}` : `${value.toFixed(3)} nats`)),
        make("p", {}, metric.startsWith("esr/")
          ? `the error is ${Math.abs(10 * Math.log10(value)).toFixed(1)} dB ${value > 1 ? "above" : "below"} the sound`
          : "per sample of held-out speech"));
    });
    this.results.replaceChildren(...cards);
  }

  async listen(run) {
    const key = `${run.samples.join()} ${run.records.length}`;
    if (!run.samples.length || key === this.heard) return;
    this.heard = key;
    const address = (name) => `${path("capture", run.id, "samples", name)}?${run.records.length}`;
    const order = ["target.wav", ...sizesOf(run.records).map((s) => `${s.slice(4)}.wav`), "DI.wav"];
    const names = order.filter((name) => run.samples.includes(name));
    const sources = Object.fromEntries(names.map((name) => [name.replace(".wav", ""), address(name)]));
    const fresh = listening(sources, { reference: "target", label: `${run.name}, held-out audio` });
    if (this.element) exchange(this.element, fresh);
    else this.sound.append(make("h2", {}, "Listen"), fresh,
      make("p", { class: "caption" }, "Six seconds that are not trained on, by the models so far. While it trains they are made anew at every evaluation."));
    this.element = fresh;
  }
}

function progress(run) {
  if (run.total_minutes) return Math.min(run.minutes / run.total_minutes, 1);
  return run.total_steps ? Math.min(run.step / run.total_steps, 1) : null;
}

function progressText(run) {
  const steps = run.step ? `${run.step.toLocaleString("en")} steps` : "";
  const of = run.total_minutes ? `${run.minutes.toFixed(1)} of ${run.total_minutes.toFixed(1)} min`
    : run.total_steps ? `${run.step.toLocaleString("en")} of ${run.total_steps.toLocaleString("en")} steps` : "";
  if (run.state === "running" && !run.step) {
    return /^step \d/m.test(run.log) ? "trains; the first evaluation is to come"
      : "prepares: reads, checks and compiles, half a minute or more";
  }
  return [word(run), run.state === "running" ? of : steps].filter(Boolean).join(" · ");
}

// The buttons of a run; `again` is called when one changed it.
export function actions(run, again) {
  const button = (text, act, kind = "") => make("button", { type: "button", class: kind, onclick: () => attempt(act) }, text);
  const buttons = [];
  if (LIVE.includes(run.state)) {
    buttons.push(button(run.state === "running" ? "Stop and keep the best" : "Do not start", async () => {
      await post(path("capture", run.id, "stop"));
    }, "main"));
  }
  if (run.results?.includes("model.nam")) {
    buttons.push(make("a", { class: "button main", href: path("capture", run.id, "model.nam"), download: true }, "Download .nam"));
    buttons.push(make("a", { class: "button", href: `#${path("play", run.id)}` }, "Play it"));
  }
  if (run.results?.includes("report.html")) {
    const report = path("capture", run.id, "report.html");
    buttons.push(make("a", { class: "button", href: report, target: "_blank" }, "Open report"));
    if (!LIVE.includes(run.state)) buttons.push(make("a", { class: "button", href: report, download: `${run.name}.html` }, "Download report"));
  }
  if (run.speaks) buttons.push(make("a", { class: "button", href: `#${path("voice", run.id)}` }, "Let it speak"));
  if (!LIVE.includes(run.state)) {
    buttons.push(goOn(run, again));
    buttons.push(button("Delete", () => remove(run), "quiet"));
  }
  return buttons;
}

function goOn(run, again) {
  const unit = run.total_minutes ? "minutes" : "steps";
  const left = run.total_minutes ? run.total_minutes - run.minutes : (run.total_steps ?? 0) - run.step;
  const usual = run.state === "finished" || left <= 0 ? (run.total_minutes ?? run.total_steps ?? 10) : left;
  const more = make("input", { type: "number", min: unit === "minutes" ? "0.1" : "1", step: "any",
    value: String(Number(usual.toFixed(unit === "minutes" ? 1 : 0))), "aria-label": `More ${unit} for ${run.name}` });
  return make("form", { class: "more", onsubmit: (event) => {
    event.preventDefault();
    attempt(async () => {
      await post(path("capture", run.id, "continue"), { [unit]: Number(more.value) });
      again();
    });
  } }, make("button", { type: "submit" }, "Continue for"), more, make("span", {}, unit));
}

async function remove(run) {
  if (!await sure(`Delete ${run.name}?`, "The training, its model and its report.", "Delete")) return;
  if (!await sure("Really?", `${run.name} cannot be brought back.`, "Delete for good")) return;
  await ask(path("capture", run.id), { method: "DELETE" });
  if (location.hash === "#runs") window.dispatchEvent(new HashChangeEvent("hashchange"));
  else location.hash = "#runs";
}
