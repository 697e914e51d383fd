// The dropped files, which can be deleted.

import { ask, attempt, find, get, make, path, seconds } from "./dom.js";
import { sure } from "./sure.js";

export async function show() {
  const found = await attempt(() => get("files"));
  if (!found) return;
  find("#files").replaceChildren(...found.files.map((file) => make("li", {},
    make("span", { class: "name" }, file.name), make("span", { class: "soft" }, facts(file)),
    make("button", { type: "button", class: "plain", "aria-label": `Delete ${file.name}`,
      onclick: () => attempt(() => remove(file)) }, "Delete"))));
  find("#no-files").hidden = found.files.length > 0;
}

function facts(file) {
  const size = file.size < 1e6 ? `${Math.ceil(file.size / 1e3)} kB` : `${(file.size / 1e6).toFixed(1)} MB`;
  return file.seconds === undefined ? size : `${seconds(file.seconds)}, ${size}`;
}

async function remove(file) {
  const lost = "Runs that were trained on it keep their models, but cannot go on.";
  if (!await sure(`Delete ${file.name}?`, lost, "Delete")) return;
  await ask(path("files", file.id), { method: "DELETE" });
  await show();
}
