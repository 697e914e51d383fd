// Draws the error of every size over the minutes of training, on a logarithmic scale.

const NS = "http://www.w3.org/2000/svg";
const COLORS = { nano: "orange", standard: "blue" };
const WIDTH = 640, HEIGHT = 280, LEFT = 64, RIGHT = 118, TOP = 20, BOTTOM = 58;
const APART = 26; // between the names of two lines

function node(tag, attributes, text = "") {
  const element = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
}

export const sizesOf = (records) =>
  [...new Set(records.flatMap(Object.keys))].filter((key) => key.startsWith("esr/")).sort();

const metricsOf = (records) => {
  const errors = sizesOf(records);
  return errors.length ? errors : ["ll/validation"];
};

// Returns an <svg> of the records of a run; `minutes` is where the axis ends.
export function curve(records, minutes) {
  const svg = node("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", class: "curve" });
  const metrics = metricsOf(records), log = metrics[0].startsWith("esr/");
  const points = metrics.map((metric) => records
    .filter((record) => Number.isFinite(record[metric]) && (!log || record[metric] > 0))
    .map((record) => [record.minutes ?? 0, log ? Math.log10(record[metric]) : record[metric]]));
  const values = points.flat().map(([, value]) => value);
  const last = Math.max(minutes || 0, ...points.flat().map(([at]) => at), 0.1);
  const low = Math.floor(Math.min(...values, log ? -1 : 0)), high = Math.ceil(Math.max(...values, log ? 0 : 1));
  const x = (at) => LEFT + (at / last) * (WIDTH - LEFT - RIGHT);
  const y = (value) => TOP + ((high - value) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  for (let tick = low; tick <= high; tick++) {
    svg.append(node("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(tick), y2: y(tick) }));
    svg.append(node("text", { x: LEFT - 8, y: y(tick) + 5, "text-anchor": "end" }, log ? String(Number((10 ** tick).toPrecision(1))) : String(tick)));
  }
  for (const part of [0, 0.5, 1]) {
    const label = (part * last).toFixed(last < 10 ? 1 : 0);
    svg.append(node("text", { x: x(part * last), y: HEIGHT - 32, "text-anchor": part === 1 ? "end" : part ? "middle" : "start" }, label));
  }
  svg.append(node("text", { x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 6, "text-anchor": "middle", class: "axis" }, "minutes of training"));
  const named = []; // heights at which names stand
  metrics.forEach((metric, i) => {
    const color = COLORS[metric.split("/")[1]] ?? "violet";
    if (!points[i].length) return;
    const line = points[i].map(([at, value]) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
    svg.append(node("polyline", { points: line, class: `line ${color}` }));
    const [at, value] = points[i].at(-1);
    svg.append(node("circle", { cx: x(at), cy: y(value), r: 4, class: `dot ${color}` }));
    let height = y(value) + 5;
    while (named.some((other) => Math.abs(other - height) < APART)) height += APART;
    named.push(height);
    svg.append(node("text", { x: x(at) + 9, y: height, class: color }, metric.split("/")[1]));
  });
  const said = metrics.map((metric) => `${metric.replace("esr/", "ESR ")} ${records.at(-1)?.[metric]?.toPrecision(3) ?? "none yet"}`);
  svg.setAttribute("aria-label", `${log ? "Error" : "Likelihood"} over time: ${said.join(", ")}`);
  return svg;
}
