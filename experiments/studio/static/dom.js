// Elements, requests, and what is said when one fails.

// Makes an element: make("p", { class: "soft", onclick: f }, "text", child).
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export const find = (selector, within = document) => within.querySelector(selector);

// Makes an address of parts, in which any sign may stand.
export const path = (...parts) => parts.map(encodeURIComponent).join("/");

// Shows a problem in one line; "" takes it away.
export function problem(text) {
  const place = find("#problem");
  place.textContent = text;
  place.hidden = !text;
  if (text) place.scrollIntoView({ block: "nearest" });
}

// Runs what a person asked for; says what went wrong.
export async function attempt(work) {
  problem("");
  try {
    return await work();
  } catch (error) {
    problem(error.message);
    return undefined;
  }
}

// Asks the server; raises an Error with its one line.
export async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("Studio does not answer; is it still running in the terminal?");
  }
  if (!answer.ok) {
    const said = await answer.json().catch(() => ({}));
    throw new Error(said.error ?? `${path}: ${answer.status} ${answer.statusText}`);
  }
  return answer;
}

export const get = async (path) => (await ask(path)).json();

export async function post(path, content = {}) {
  const headers = { "content-type": "application/json" };
  return (await ask(path, { method: "POST", headers, body: JSON.stringify(content) })).json();
}

export function postForm(path, values) {
  const body = new FormData();
  for (const [name, value] of Object.entries(values)) body.append(name, value);
  return ask(path, { method: "POST", body });
}

// Sends a file, with its progress from 0 to 1; fetch cannot say it.
export function send(file, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `files?name=${encodeURIComponent(file.name)}`);
    request.upload.onprogress = (event) => progress(event.loaded / (event.total || 1));
    request.onerror = () => reject(new Error(`${file.name}: not taken; is it too large, or Studio closed?`));
    request.onload = () => {
      let said = {};
      try {
        said = JSON.parse(request.responseText);
      } catch { /* the status says it */ }
      if (request.status === 201) resolve(said);
      else reject(new Error(said.error ?? `${file.name}: ${request.status} ${request.statusText}`));
    };
    request.send(file);
  });
}

export function seconds(value) {
  const whole = Math.round(value);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")} min`;
}
