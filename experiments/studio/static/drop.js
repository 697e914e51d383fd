// Places where files are dropped, or chosen by a click or the keyboard.

import { attempt, make, seconds, send } from "./dom.js";

const ACCEPTED = {
  audio: ".wav,.wave,.flac,.aif,.aiff,.aifc,.w64,.rf64,.caf,.au,.ogg,.oga",
  model: ".nam,.json,.aidax",
  speech: ".wav,.wave,.flac,.aif,.aiff,.caf,.au,.ogg,.npy,.npz",
};

// Makes a drop place of an element; `changed` gets the files that are there, as the server has them.
export class Drop {
  constructor(element, changed) {
    this.many = "many" in element.dataset;
    this.files = [];
    this.changed = changed;
    const { title, hint, accept } = element.dataset;
    this.input = make("input", {
      type: "file", accept: ACCEPTED[accept], multiple: this.many, class: "file",
      onchange: () => { this.take(this.input.files); this.input.value = ""; } });
    this.list = make("ul", { class: "taken" });
    this.said = make("span", { class: "soft" }, hint);
    const label = make("label", { class: "drop" },
      make("strong", {}, title), this.said, this.input,
      make("span", { class: "call", "aria-hidden": "true" }, this.many ? "Drop files, or choose" : "Drop a file, or choose"));
    element.append(label, this.list);
    for (const type of ["dragenter", "dragover"]) {
      element.addEventListener(type, (event) => {
        event.preventDefault();
        label.classList.add("over");
      });
    }
    for (const type of ["dragleave", "drop"]) element.addEventListener(type, () => label.classList.remove("over"));
    element.addEventListener("drop", (event) => {
      event.preventDefault();
      this.take(event.dataTransfer.files);
    });
  }

  async take(files) {
    for (const file of this.many ? [...files] : [...files].slice(0, 1)) {
      const bar = make("progress", { max: "1", value: "0", "aria-label": `Sending ${file.name}` });
      const row = make("li", {}, file.name, bar);
      this.list.append(row);
      const kept = await attempt(() => send(file, (part) => { bar.value = part; }));
      row.remove();
      if (kept) this.add(kept);
    }
  }

  add(kept) {
    this.files = this.many ? [...this.files, kept] : [kept];
    this.show();
    this.changed(this.files);
  }

  remove(kept) {
    this.files = this.files.filter((file) => file !== kept);
    this.show();
    this.changed(this.files);
  }

  show() {
    this.list.replaceChildren(...this.files.map((file) => make("li", {},
      make("span", { class: "name" }, file.name),
      make("span", { class: "soft" }, file.seconds === undefined ? (file.architecture ?? "")
        : `${seconds(file.seconds)}, ${(file.sample_rate / 1000).toLocaleString("en")} kHz`),
      make("button", { type: "button", class: "plain", "aria-label": `Remove ${file.name}`,
        onclick: () => this.remove(file) }, "×"))));
  }
}
