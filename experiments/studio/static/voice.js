// A recording or a mel, spoken by a vocoder.

import { attempt, find, get, make, path, postForm } from "./dom.js";
import { Drop } from "./drop.js";
import { listening } from "./listen.js";

let speech;

export function begin() {
  speech = new Drop(find('[data-drop="speech"]'), () => {});
  find("#speak").addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(() => speak(new FormData(event.target)));
  });
}

export async function show(id) {
  const found = await attempt(() => get("voices"));
  const select = find("#speak select"), before = id ?? select.value;
  const voices = found?.voices ?? [];
  select.replaceChildren(...voices.map((voice) =>
    make("option", { value: voice.id, selected: voice.id === before }, voice.name)));
}

async function speak(form) {
  if (!speech.files.length) throw new Error("Nothing to be spoken; drop a recording or a mel");
  const said = find("#speak-said"), file = speech.files[0], button = find("#speak button.main");
  button.disabled = true;
  said.textContent = "speaks; the first time compiles …";
  try {
    const answer = await postForm("speak", { voice: form.get("voice"), input: file.id,
      temperature: form.get("temperature"), seed: form.get("seed") });
    const chunks = [], size = Number(answer.headers.get("content-length"));
    let done = 0;
    for (let reader = answer.body.getReader(), part; !(part = await reader.read()).done;) {
      chunks.push(part.value);
      done += part.value.length;
      said.textContent = `speaks: ${Math.round((100 * done) / size)} % …`;
    }
    const wav = new Blob(chunks, { type: "audio/wav" });
    const rate = new DataView(await wav.slice(24, 28).arrayBuffer()).getUint32(0, true);
    const sources = { spoken: URL.createObjectURL(wav) };
    if (file.kind === "sound") sources.original = path("files", file.id);
    const name = `${file.name.replace(/\.[^.]*$/, "")}_spoken.wav`;
    const note = decodeURIComponent(answer.headers.get("x-note") ?? "");
    find("#spoken").replaceChildren(make("h2", {}, "Listen"), note ? make("p", { class: "doubt" }, `Note: ${note}`) : "",
      listening(sources, { rate, reference: file.kind === "sound" ? "original" : "spoken", label: file.name }),
      make("p", { class: "actions" }, make("a", { class: "button", href: sources.spoken, download: name }, "Download WAV")));
  } finally {
    said.textContent = "";
    button.disabled = false;
  }
}
