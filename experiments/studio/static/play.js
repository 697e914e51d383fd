// Models that are heard beside each other, described, and turned into A2.

import { ask, attempt, find, get, make, path, post, postForm } from "./dom.js";
import { Drop } from "./drop.js";
import { listening } from "./listen.js";

let models, di, trained = [];
const chosen = new Set();

export function begin() {
  models = new Drop(find('[data-drop="models"]'), (files) => {
    for (const file of files) if (!seen.has(file.id)) chosen.add(file.id);
    choices();
  });
  di = new Drop(find('[data-drop="di"]'), () => {});
  find("#play-built-in").addEventListener("click", () => di.add({ id: "built-in", name: "the built-in DI" }));
  find("#render").addEventListener("click", () => attempt(play));
}

const seen = new Set();

// Shows the page; `id` is a run whose model is to be heard.
export async function show(id) {
  const found = await attempt(() => get("capture"));
  trained = (found?.runs ?? []).filter((run) => run.results?.includes("model.nam"));
  if (id) chosen.add(id);
  choices();
}

const all = () => [...models.files, ...trained.map(({ id, name }) => ({ id, name: `${name} (trained here)` }))];

function choices() {
  for (const { id } of all()) seen.add(id);
  const place = find("#choice");
  place.hidden = !all().length;
  place.replaceChildren(find("legend", place), ...all().map(({ id, name }) => make("label", { class: "tick" },
    make("input", { type: "checkbox", checked: chosen.has(id), onchange: (event) => {
      if (event.target.checked) chosen.add(id);
      else chosen.delete(id);
    } }), name)));
}

async function play() {
  const playing = all().filter(({ id }) => chosen.has(id));
  if (!playing.length) throw new Error("No model is chosen; drop a .nam file, or tick one");
  if (!di.files.length) throw new Error("No DI is chosen; drop a recording, or take ours");
  const said = find("#render-said"), source = di.files[0];
  const clip = source.id === "built-in" ? "built-in_di.wav" : path("files", source.id);
  const sources = {}, button = find("#render");
  button.disabled = true;
  try {
    for (const [number, { id, name }] of playing.entries()) {
      said.textContent = `${number + 1} of ${playing.length}: ${name} …`;
      const wav = await (await postForm("render", { model: id, input: source.id })).blob();
      sources[name in sources ? `${name} (${number + 1})` : name] = URL.createObjectURL(wav);
    }
    sources.DI = URL.createObjectURL(await (await ask(clip)).blob());
  } finally {
    said.textContent = "";
    button.disabled = false;
  }
  for (const audio of find("#heard").querySelectorAll("audio")) URL.revokeObjectURL(audio.src);
  find("#heard").replaceChildren(make("h2", {}, "Listen"), listening(sources, {
    rate: source.sample_rate ?? 48000, reference: Object.keys(sources)[0], label: source.name }));
  await describe(playing);
}

async function describe(playing) {
  const cards = [];
  for (const { id, name } of playing) {
    const { lines } = await (await postForm("inspect", { model: id })).json();
    cards.push(make("article", { class: "card" }, make("h2", {}, name),
      make("pre", { tabindex: "0" }, lines.join("\n")),
      models.files.some((file) => file.id === id) && !lines.some((line) => /^ *A2 /.test(line)) ? conversion(id, name) : null));
  }
  find("#known").replaceChildren(make("h2", {}, "What the files say"), ...cards);
}

// Turns a model into A2: a training that it teaches.
function conversion(id, name) {
  const stem = name.replace(/\.[^.]*$/, "");
  const minutes = make("input", { type: "number", min: "0.1", step: "any", value: "5", "aria-label": `Minutes for ${name}` });
  return make("form", { class: "more", onsubmit: (event) => {
    event.preventDefault();
    attempt(async () => {
      const title = `${stem} A2`;
      const given = { "train.minutes": Number(minutes.value), "metadata.name": title };
      const job = await post("capture", { teacher: id, name: title, options: given });
      location.hash = `#${path("run", job.id)}`;
    });
  } }, make("button", { type: "submit" }, "Convert to A2 in"), minutes, make("span", {}, "minutes"));
}
