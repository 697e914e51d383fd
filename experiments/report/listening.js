// The listening element: versions of one sound, of which one is heard, or its difference from the
// reference. All of them play in step and only their gains change, so that switching keeps the
// position to the sample. Without this script each version is a plain player (see listening.py).
"use strict";
(() => {
  const FADE = 0.006; // seconds, against clicks
  const COLUMNS = 1000; // of the drawn waveform
  const SILENCE = 1e-6; // RMS, below which no level is matched
  const KEYS = {
    " ": (e) => e.toggle(),
    ArrowLeft: (e, step) => e.seek(e.position - step),
    ArrowRight: (e, step) => e.seek(e.position + step),
    Home: (e) => e.seek(0),
    End: (e) => e.seek(e.duration),
    l: (e) => e.set({ looping: !e.state.looping }),
    m: (e) => e.set({ matching: !e.state.matching }),
    d: (e) => e.set({ differing: !e.state.differing }),
    "[": (e) => e.loop(e.position, e.state.end),
    "]": (e) => e.loop(e.state.start, e.position),
    Escape: (e) => e.set({ looping: false, start: 0, end: e.duration }),
  };
  const HELP =
    "Space plays · ← → 1 s, with shift 0.1 s · numbers choose · L loop · [ ] its ends · " +
    "M match levels · D difference · drag over the waveform to loop a part";

  const contexts = new Map(); // one for each sample rate
  let playing = null; // the element that is heard

  function contextAt(sampleRate) {
    if (!contexts.has(sampleRate)) contexts.set(sampleRate, new AudioContext({ sampleRate }));
    return contexts.get(sampleRate);
  }

  async function decoded(source, sampleRate) {
    const [, encoded] = source.match(/^data:[^,]*;base64,(.*)$/) ?? [];
    const content = encoded
      ? Uint8Array.from(atob(encoded), (c) => c.charCodeAt(0)).buffer
      : await (await fetch(source)).arrayBuffer();
    const audio = await new OfflineAudioContext(1, 1, sampleRate).decodeAudioData(content);
    return audio.getChannelData(0);
  }

  function rms(x) {
    let sum = 0;
    for (const value of x) sum += value * value;
    return Math.sqrt(sum / Math.max(x.length, 1));
  }

  const peak = (x) => x.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const level = (ratio) => 20 * Math.log10(Math.max(ratio, 1e-6));
  const signed = (dB) => `${dB < 0 ? "−" : "+"}${Math.abs(dB).toFixed(1)} dB`;
  const full = (dB) => signed(dB).replace("+", "");

  // An outline of x, where `top` reaches the edge, in a box 2 high and COLUMNS wide.
  function outline(x, top) {
    const upper = [], lower = [];
    for (let column = 0; column < COLUMNS; column++) {
      const from = Math.floor((column * x.length) / COLUMNS);
      const to = Math.max(from + 1, Math.floor(((column + 1) * x.length) / COLUMNS));
      let low = 0, high = 0;
      for (let i = from; i < to && i < x.length; i++) {
        low = Math.min(low, x[i]);
        high = Math.max(high, x[i]);
      }
      upper.push(`${column} ${(0.99 - high / top).toFixed(3)}`);
      lower.unshift(`${column} ${(1.01 - low / top).toFixed(3)}`);
    }
    return `M${upper.join("L")}L${lower.join("L")}Z`;
  }

  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  function picture() {
    const [svg, path] = ["svg", "path"].map((tag) =>
      document.createElementNS("http://www.w3.org/2000/svg", tag));
    svg.setAttribute("viewBox", `0 0 ${COLUMNS} 2`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    svg.append(path);
    return svg;
  }

  class Listening extends HTMLElement {
    connectedCallback() {
      if (this.versions || !window.AudioContext) return;
      this.versions = [];
      this.sampleRate = Number(this.dataset.rate);
      this.ready = this.begin().catch((error) => console.warn("plain players remain:", error));
    }

    disconnectedCallback() {
      this.pause();
    }

    async begin() {
      const figures = [...this.querySelectorAll("figure")];
      const audios = await Promise.all(
        figures.map((f) => decoded(f.querySelector("audio").src, this.sampleRate)));
      const samples = Math.max(...audios.map((audio) => audio.length));
      this.duration = samples / this.sampleRate;
      this.versions = audios.map((audio, i) => {
        const buffer = new AudioBuffer({ length: samples, sampleRate: this.sampleRate });
        buffer.copyToChannel(audio, 0);
        const name = figures[i].querySelector("figcaption").textContent;
        return { name, buffer, rms: rms(audio), peak: peak(audio) };
      });
      this.reference = Math.max(0, figures.findIndex((f) => "reference" in f.dataset));
      this.at = 0;
      this.state = {
        chosen: this.reference, looping: false, start: 0, end: this.duration,
        matching: false, differing: false,
      };
      for (const figure of figures) {
        figure.querySelector("audio").pause();
        figure.hidden = true;
      }
      this.build();
      this.recall();
      this.show();
    }

    // What is heard

    // The factor on every version; the sum of all is heard.
    gains() {
      const { chosen, matching, differing } = this.state;
      const wanted = this.versions[this.reference].rms;
      const matched = this.versions.map((v) =>
        matching && Math.min(v.rms, wanted) > SILENCE ? wanted / v.rms : 1);
      const highest = Math.max(...this.versions.map((v, i) => v.peak * matched[i]));
      const scale = matching ? 1 / Math.max(1, highest) : 1;
      return matched.map((factor, i) =>
        scale * factor * (Number(i === chosen) - Number(differing && i === this.reference)));
    }

    // The samples that are heard.
    heard() {
      const sum = new Float32Array(this.versions[0].buffer.length);
      this.gains().forEach((gain, i) => {
        const x = gain ? this.versions[i].buffer.getChannelData(0) : [];
        for (let n = 0; n < x.length; n++) sum[n] += gain * x[n];
      });
      return sum;
    }

    // Starts all versions in step at a position; `context` may be an offline one.
    start(context, position, when = 0) {
      const { looping, start, end } = this.state;
      const gains = this.gains();
      return this.versions.map(({ buffer }, i) => {
        const source = new AudioBufferSourceNode(context, {
          buffer, loop: looping, loopStart: start, loopEnd: end });
        const gain = new GainNode(context, { gain: gains[i] });
        source.connect(gain).connect(context.destination);
        source.start(when, position);
        return { source, gain };
      });
    }

    // Moving about

    get position() {
      if (!this.nodes) return this.at;
      const { looping, start, end } = this.state;
      const time = this.at + Math.max(0, contextAt(this.sampleRate).currentTime - this.since);
      if (looping && time >= end) return start + ((time - start) % (end - start));
      return Math.min(time, this.duration);
    }

    play(position = this.position) {
      const { looping, start, end } = this.state;
      const outside = looping ? position < start || position >= end : position >= this.duration;
      if (playing !== this) playing?.pause();
      this.silence();
      playing = this;
      const context = contextAt(this.sampleRate);
      context.resume();
      this.at = outside ? start * Number(looping) : position;
      this.since = context.currentTime + FADE;
      const nodes = this.start(context, this.at, this.since);
      this.nodes = nodes;
      nodes[0].source.onended = () => {
        if (this.nodes !== nodes) return;
        this.pause();
        this.at = 0;
        this.move();
      };
      this.follow();
    }

    pause() {
      this.at = this.position;
      this.silence();
      if (playing === this) playing = null;
      if (this.wave) this.move();
    }

    silence() {
      const now = this.nodes ? contextAt(this.sampleRate).currentTime : 0;
      for (const { source, gain } of this.nodes ?? []) {
        gain.gain.setTargetAtTime(0, now, FADE / 3);
        source.stop(now + FADE);
      }
      this.nodes = null;
    }

    toggle() {
      if (this.nodes) this.pause();
      else this.play();
    }

    seek(position) {
      const to = Math.min(Math.max(position, 0), this.duration);
      if (this.nodes) this.play(Math.min(to, this.duration - FADE));
      else this.at = to;
      this.move();
    }

    // Loops a part; a vanishing one is none.
    loop(from, to) {
      const [start, end] = [Math.min(from, to), Math.max(from, to)];
      if (end - start > 2 * FADE) this.set({ looping: true, start, end });
    }

    set(changes) {
      const at = this.position;
      const before = this.state;
      this.state = { ...before, ...changes };
      const moved = ["looping", "start", "end"].some((key) => this.state[key] !== before[key]);
      if (moved && this.nodes) this.play(at);
      else if (this.nodes) this.blend();
      this.show();
    }

    blend() {
      const gains = this.gains();
      const { currentTime } = contextAt(this.sampleRate);
      this.nodes.forEach(({ gain }, i) => gain.gain.setTargetAtTime(gains[i], currentTime, FADE / 3));
    }

    // What is seen

    build() {
      const button = (text, act, key) => {
        const element = make("button", { type: "button", title: `Key: ${key}` }, text);
        element.addEventListener("click", (event) => {
          act();
          if (event.detail) this.wave.focus({ preventScroll: true }); // the keys stay the element's
        });
        return element;
      };
      const label = this.getAttribute("label") ?? "sound";
      this.wave = make("div", {
        class: "wave", tabindex: "0", role: "slider", "aria-label": `Position in ${label}`,
        "aria-valuemin": "0", "aria-valuemax": this.duration.toFixed(1) });
      this.band = make("div", { class: "band" });
      this.head = make("div", { class: "head" });
      this.wave.append(picture(), this.band, this.head);
      this.playButton = button("Play", () => this.toggle(), "space");
      this.time = make("span", { class: "time" });
      this.choices = this.versions.map(({ name }, i) =>
        button(name, () => this.set({ chosen: i }), i + 1));
      this.toggles = Object.entries({
        looping: ["Loop", "L"], matching: ["Match levels", "M"], differing: ["Difference", "D"],
      }).map(([state, [text, key]]) =>
        [state, button(text, () => this.set({ [state]: !this.state[state] }), key)]);
      this.said = make("output", { class: "said" });
      const group = (name, ...children) =>
        make("div", { role: "group", class: "group", "aria-label": name }, ...children);
      this.append(make("div", { class: "listening" },
        this.wave,
        make("div", { class: "row" },
          group("Playing", this.playButton, this.time),
          group("Version", ...this.choices),
          group("Options", ...this.toggles.map(([, element]) => element))),
        this.said,
        make("p", { class: "keys" }, HELP)));
      this.addEventListener("keydown", (event) => this.press(event));
      this.wave.addEventListener("pointerdown", (event) => this.drag(event));
      window.addEventListener("pagehide", () => this.remember());
    }

    press(event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === " " && event.target.closest("button")) return; // which it presses
      const number = Number(event.key);
      const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
      if (act) act(this, event.shiftKey ? 0.1 : 1);
      else if (number >= 1 && number <= this.versions.length) this.set({ chosen: number - 1 });
      else return;
      event.preventDefault();
    }

    drag(event) {
      if (event.button) return;
      const box = this.wave.getBoundingClientRect();
      const time = ({ clientX }) =>
        Math.min(Math.max((clientX - box.left) / box.width, 0), 1) * this.duration;
      const from = time(event);
      const far = ({ clientX }) => Math.abs(clientX - event.clientX) > 4;
      let pulled = false;
      this.wave.setPointerCapture(event.pointerId);
      this.wave.onpointermove = (moved) => {
        pulled ||= far(moved);
        if (pulled) this.mark(Math.min(from, time(moved)), Math.max(from, time(moved)));
      };
      const done = (ended) => {
        this.wave.onpointermove = this.wave.onpointerup = this.wave.onpointercancel = null;
        const { looping, start, end } = this.state;
        if (pulled && ended.type === "pointerup") {
          this.loop(from, time(ended));
          if (!this.nodes) this.seek(this.state.start);
        } else if (ended.type === "pointerup") {
          if (looping && (from < start || from >= end)) this.set({ looping: false });
          this.seek(from);
        }
        this.show();
      };
      this.wave.onpointerup = this.wave.onpointercancel = done;
    }

    show() {
      const { chosen, looping, start, end, differing } = this.state;
      const heard = this.heard();
      const gains = this.gains().map(Math.abs);
      const highest = Math.max(...this.versions.map((v) => v.peak)) * Math.max(...gains);
      const top = (differing ? peak(heard) : highest) || 1;
      this.wave.querySelector("path").setAttribute("d", outline(heard, top));
      this.wave.classList.toggle("differs", differing);
      this.choices.forEach((element, i) => element.setAttribute("aria-pressed", i === chosen));
      for (const [state, element] of this.toggles) {
        element.setAttribute("aria-pressed", this.state[state]);
      }
      if (looping) this.mark(start, end);
      this.band.hidden = !looping;
      this.said.textContent = this.describe(rms(heard), highest / top);
      this.move();
    }

    describe(loudness, stretch) {
      const { chosen, matching, differing } = this.state;
      const { name, rms: own } = this.versions[chosen];
      const other = this.versions[this.reference];
      if (differing && chosen === this.reference) {
        return `${name} is what others are compared with: choose another to hear its difference`;
      }
      if (differing) {
        const gain = Math.max(...this.gains().map((value, i) => (i === this.reference ? -value : 0)));
        const below = level(loudness) - level(other.rms * gain);
        return `${name} minus ${other.name}: ${full(level(loudness))}, ` +
          `${Math.abs(below).toFixed(1)} dB ${below < 0 ? "below" : "above"} ${other.name}` +
          (stretch > 1.5 ? `; drawn ${stretch.toFixed(stretch < 10 ? 1 : 0)} times as high` : "");
      }
      const turned = matching ? `, turned by ${signed(level(loudness) - level(own))}` : "";
      return `${name}: ${full(level(loudness))}${turned}`;
    }

    mark(start, end) {
      this.band.hidden = false;
      this.band.style.left = `${(100 * start) / this.duration}%`;
      this.band.style.width = `${(100 * (end - start)) / this.duration}%`;
    }

    move() {
      const { position, duration } = this;
      this.head.style.left = `${(100 * position) / duration}%`;
      const text = `${position.toFixed(1)} of ${duration.toFixed(1)} s`;
      if (this.time.textContent !== text) {
        this.time.textContent = text;
        this.wave.setAttribute("aria-valuenow", position.toFixed(1));
        this.wave.setAttribute("aria-valuetext", text);
      }
      this.playButton.textContent = this.nodes ? "Pause" : "Play";
    }

    follow() {
      this.move();
      if (this.nodes) requestAnimationFrame(() => this.follow());
    }

    // A page that is loaded again goes on as it was

    get place() {
      return `${location.pathname} ${[...document.querySelectorAll("wf-listening")].indexOf(this)}`;
    }

    remember() {
      const kept = { at: this.position, duration: this.duration, state: this.state };
      try {
        sessionStorage.setItem(this.place, JSON.stringify(kept));
      } catch { /* no storage: nothing is kept */ }
    }

    recall() {
      try {
        const kept = JSON.parse(sessionStorage.getItem(this.place));
        if (kept?.duration !== this.duration || !this.versions[kept.state.chosen]) return;
        [this.at, this.state] = [kept.at, kept.state];
      } catch { /* as above */ }
    }
  }

  function reload(seconds) {
    setTimeout(() => (playing ? reload(seconds) : location.reload()), 1000 * seconds);
  }

  function define() {
    customElements.define("wf-listening", Listening);
    const { refresh } = document.documentElement.dataset;
    if (refresh) reload(Number(refresh));
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", define);
  else define();
})();
