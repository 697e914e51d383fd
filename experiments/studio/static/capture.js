// The page that checks recordings and starts a training.

import { attempt, find, make, path, post } from "./dom.js";
import { Drop } from "./drop.js";

const BUILT_IN = { id: "built-in", name: "the built-in DI" };
const DEMO = { id: "demo", name: "the built-in amp: a minute of plucked strings" };
let input, output;

export function begin() {
  input = new Drop(find('[data-drop="input"]'), changed);
  output = new Drop(find('[data-drop="output"]'), changed);
  find("#use-built-in").addEventListener("click", () => input.add(BUILT_IN));
  find("#use-demo").addEventListener("click", () => input.add(DEMO));
  find("#settings").addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(() => train(new FormData(event.target)));
  });
  ready();
}

const isDemo = () => input.files[0]?.id === DEMO.id;

function ready() {
  const is = isDemo() || (input.files.length && output.files.length);
  find("#train").disabled = !is;
  find("#why-not").hidden = is;
  const many = output.files.length > 1 && !isDemo();
  find("#train").textContent = many ? `Train ${output.files.length} models` : "Train";
}

let round = 0;

async function changed() {
  ready();
  const place = find("#checks"), own = ++round;
  place.replaceChildren();
  if (isDemo() || !input.files.length) return;
  for (const recording of output.files) {
    const card = make("div", { class: "card" }, make("h2", {}, recording.name),
      make("p", { class: "soft" }, "Checking …"));
    place.append(card);
    const found = await attempt(() => post("check", { input: input.files[0].id, output: recording.id }));
    if (own !== round) return;
    if (found) card.replaceChildren(make("h2", {}, recording.name), ...findings(found));
    else card.remove();
  }
}

function findings(found) {
  const table = (rows) => make("ul", { class: "findings" }, ...rows.map((f) => make("li", {},
    make("span", { class: `mark ${f.level}` }, f.level),
    make("span", {}, make("strong", {}, f.check), ` ${f.message}`, f.remedy ? make("em", {}, ` ${f.remedy}`) : null))));
  const fine = found.findings.filter((f) => f.level === "ok");
  const others = found.findings.filter((f) => f.level !== "ok");
  const verdict = found.ready ? (others.length ? "Fine, with notes" : "All checks are fine")
    : "This pair cannot be trained on as it is";
  return [
    make("p", { class: "verdict" }, verdict),
    others.length ? table(others) : null,
    fine.length ? make("details", {}, make("summary", {}, `${fine.length} checks are fine`), table(fine)) : null,
    found.latency ? make("p", {}, make("strong", {}, "Latency: "), found.latency) : null,
    found.picture ? make("details", { open: found.ready }, make("summary", {}, "How it was measured"), picture(found.picture)) : null,
  ].filter(Boolean);
}

// A plot of ours; its styles are set one by one, since the page allows none in its text.
function picture(svg) {
  const place = make("div", { class: "plot" });
  place.innerHTML = svg.replaceAll(' style="', ' data-style="');
  for (const element of place.querySelectorAll("[data-style]")) {
    element.style.cssText = element.dataset.style;
    element.removeAttribute("data-style");
  }
  return place;
}

// Returns the options of the form, by their names in the config.
function options(form) {
  const given = {};
  for (const name of ["gear_make", "gear_model", "gear_type", "tone_type", "modeled_by"]) {
    if (form.get(name)) given[`metadata.${name}`] = form.get(name).trim();
  }
  if (form.get("steps")) given["train.steps"] = Number(form.get("steps"));
  else given["train.minutes"] = Number(form.get("minutes"));
  if (form.get("latency")) given["data.latency"] = form.get("latency");
  if (form.get("seed")) given["train.seed"] = Number(form.get("seed"));
  for (const name of ["correct_drift", "ignore_checks"]) if (form.get(name)) given[`data.${name}`] = true;
  return given;
}

async function train(form) {
  const given = options(form), name = form.get("name").trim(), several = output.files.length > 1;
  const pairs = isDemo() ? [{ input: DEMO.id }]
    : output.files.map((file) => ({ input: input.files[0].id, output: file.id, file }));
  let first;
  for (const { file, ...pair } of pairs) {
    const stem = file?.name.replace(/\.[^.]*$/, "") ?? "built-in amp";
    const title = name ? (several ? `${name}, ${stem}` : name) : stem;
    const job = await post("capture", { ...pair, name: title, options: { ...given, "metadata.name": title } });
    first ??= job;
  }
  location.hash = pairs.length > 1 ? "#runs" : `#${path("run", first.id)}`;
}
