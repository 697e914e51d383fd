// Shows openapi.json.

import { find, make } from "./dom.js";

const api = await (await fetch("openapi.json")).json();

function named(schema) {
  const name = schema?.$ref?.split("/").at(-1);
  return name ? api.components.schemas[name] : schema;
}

function meaning(field) {
  const said = field.description ?? field.type ?? "";
  return "default" in field ? `${said}; left out: ${field.default}` : said;
}

function rows(operation) {
  const parameters = (operation.parameters ?? []).map((p) => [p.name, p.description ?? ""]);
  const bodies = Object.entries(operation.requestBody?.content ?? {}).flatMap(([type, { schema }]) => {
    const fields = Object.entries(named(schema)?.properties ?? {});
    return fields.length ? fields.map(([name, field]) => [name, meaning(field)])
      : [[type, named(schema)?.description ?? "the content"]];
  });
  const answers = Object.entries(operation.responses).filter(([code]) => code < 300)
    .map(([code, { description }]) => [code, description]);
  return [...parameters, ...bodies, ...answers];
}

for (const [path, operations] of Object.entries(api.paths)) {
  for (const [verb, operation] of Object.entries(operations)) {
    find("#paths").append(make("article", { class: "card" },
      make("h2", {}, `${verb.toUpperCase()} ${path}`), make("p", {}, operation.summary),
      make("table", {}, ...rows(operation).map(([name, text]) =>
        make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, text))))));
  }
}
for (const place of document.querySelectorAll(".here")) place.textContent = new URL("./", location).href;
