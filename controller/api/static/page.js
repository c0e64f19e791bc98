// The page: asks for everything once, then follows the stream of ticks.

import { make, NetworkMap, percent, rate, shade } from "./map.js";

const API = "api/v1";
const REMEMBERED = 60;
const SHOWN = 12;
const RETRY_MS = 2000;
const $ = (id) => document.getElementById(id);

const state = { status: null, nodes: [], links: [], decisions: [], heard: 0 };
const order = { key: "forecast", up: false };
const map = new NetworkMap($("map"), $("tip"), (name) => markRow(name));

async function ask(path) {
  const answer = await fetch(`${API}/${path}`);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

function text(id, value) {
  $(id).textContent = value;
}

function element(tag, content, className) {
  const made = document.createElement(tag);
  made.textContent = content;
  if (className) made.className = className;
  return made;
}

function connection(words, kind) {
  text("connection", words);
  $("connection").className = `badge ${kind}`;
}

function showStatus() {
  const { status } = state;
  if (!status) return;
  const label = status.data;
  text("network", label ? label.name : "No network is known yet");
  document.title = label ? `${label.name} – Foresteer` : "Foresteer";
  $("synthetic").hidden = !(label && label.synthetic);
  $("mode").hidden = false;
  text("mode", `Mode: ${status.mode}`);
  $("mode").className = `badge ${status.mode === "act" ? "good" : "warn"}`;
  $("frozen").hidden = !status.details.frozen;
  text("tick", status.tick ?? "–");
  text("skipped", status.skipped_ticks);
  text("errors", status.rule_errors);
  $("waiting").hidden = status.tick !== null;
  const parts = Object.entries(status.components).map(([name, how]) => {
    const row = document.createElement("li");
    row.append(element("span", name), element("span", how, how === "ok" ? "ok" : "bad"));
    return row;
  });
  for (const alarm of status.details.alarms ?? []) {
    const row = document.createElement("li");
    row.append(element("span", "alarm"), element("span", alarm, "bad"));
    parts.push(row);
  }
  $("components").replaceChildren(...parts);
}

function busiest(key) {
  const up = state.links.filter((link) => link.up && link[key] !== null);
  return up.reduce((best, link) => (!best || link[key] > best[key] ? link : best), null);
}

function showFigures() {
  for (const key of ["observed", "forecast"]) {
    const link = busiest(key);
    const figure = $(key);
    figure.replaceChildren(link ? percent(link[key]) : "–");
    if (link) figure.append(element("small", link.name));
  }
  const last = state.decisions[0];
  text("deciding", last ? `${Math.round(last.decide_ms)} ms` : "–");
}

function swatch(value) {
  return element("span", "", `swatch ${shade(value)}`);
}

function showTable() {
  const direction = order.up ? 1 : -1;
  const value = (link) => link[order.key] ?? -1;
  const compare = (a, b) => (order.key === "name"
    ? a.name.localeCompare(b.name) : value(a) - value(b)) * direction;
  const rows = [...state.links].sort(compare).map((link) => {
    const row = document.createElement("tr");
    row.dataset.name = link.name;
    const name = element("th", link.name);
    name.scope = "row";
    row.append(name, element("td", rate(link.capacity_bps)));
    row.append(element("td", link.up ? rate(link.rate_bps) : "down"));
    for (const key of ["observed", "forecast"]) {
      const cell = element("td", link.up ? ` ${percent(link[key])}` : "–");
      if (link.up) cell.prepend(swatch(link[key]));
      row.append(cell);
    }
    row.addEventListener("mouseenter", () => map.highlight(link.name));
    row.addEventListener("mouseleave", () => map.highlight(null));
    return row;
  });
  $("rows").replaceChildren(...rows);
}

function markRow(name) {
  for (const row of $("rows").children) row.classList.toggle("marked", row.dataset.name === name);
}

function showDecisions() {
  const items = state.decisions.slice(0, SHOWN).map((made) => {
    const item = document.createElement("li");
    item.append(element("p", made.reason.replaceAll(" %", "\u00a0%")));
    const time = new Date(made.time_s * 1000).toLocaleTimeString();
    const buckets = made.moved_buckets === 1 ? "1 bucket" : `${made.moved_buckets} buckets`;
    item.append(element("small", `tick ${made.tick}, ${time}: ${buckets} moved, ${made.method}`));
    if (made.event) item.prepend(element("small", made.event));
    for (const rule of made.rules ?? []) item.append(element("small", `rule ${rule}`));
    if (made.number !== null && made.number !== undefined) {
      const why = element("button", "Why?");
      why.type = "button";
      why.dataset.number = made.number;
      why.setAttribute("aria-label", `Why? Decision ${made.number}`);
      item.append(why);
    }
    for (const note of made.notes) item.append(element("small", note));
    for (const error of made.errors) item.append(element("small", error, "bad"));
    return item;
  });
  if (!items.length) items.push(element("li", "None yet", "soft"));
  $("decisions").replaceChildren(...items);
}

function showHistory() {
  const past = state.decisions.slice(0, REMEMBERED).reverse();
  const values = past.flatMap((made) => [made.observed_max, made.forecast_max]);
  const top = Math.max(0.01, ...values) * 1.08;
  const x = (position) => (past.length > 1 ? (position / (past.length - 1)) * 600 : 600);
  const y = (value) => 100 - (value / top) * 100;
  const line = (key, className) => make("polyline", {
    class: className,
    points: past.map((made, position) => `${x(position).toFixed(1)},${y(made[key]).toFixed(1)}`).join(" "),
  });
  const parts = [make("line", { x1: 0, x2: 600, y1: 100, y2: 100 })];
  if (top > 1) parts.push(make("line", { class: "full", x1: 0, x2: 600, y1: y(1), y2: y(1) }));
  $("history").replaceChildren(...parts, line("forecast_max", "soon"), line("observed_max", "now"));
  text("history-top", past.length
    ? `Solid: observed; dashed: what the plan of that tick expected next. Highest: ${percent(Math.max(...values))}.`
    : "");
}

function showAll() {
  showStatus();
  showFigures();
  showTable();
  showDecisions();
  showHistory();
}

async function load() {
  const [status, topology, decided] = await Promise.all(
    [ask("status"), ask("topology"), ask(`decisions?limit=${REMEMBERED}`)]);
  state.status = status;
  state.nodes = topology.nodes;
  state.links = topology.links;
  state.decisions = decided.decisions;
  state.heard = Date.now();
  map.show(state.nodes, state.links);
  showAll();
  document.dispatchEvent(new CustomEvent("network", { detail: state.nodes }));
}

function take(update) {
  const names = (links) => links.map((link) => link.name).join();
  const changed = names(update.links) !== names(state.links);
  state.status = update.status;
  state.links = update.links;
  const others = state.decisions.filter((made) => made.plan !== update.decision.plan);
  state.decisions = [update.decision, ...others].slice(0, REMEMBERED);
  state.heard = Date.now();
  if (changed) {
    load().catch(() => {});
    return;
  }
  map.update(state.links);
  showAll();
  document.dispatchEvent(new CustomEvent("tick", { detail: update }));
}

function notice(words) {
  $("notice").hidden = !words;
  if (words && $("notice").textContent !== words) text("notice", words);
}

function lost() {
  connection("Connection lost, retrying", "bad");
  notice("The connection to Foresteer is lost; what you see is the last that was heard. Retrying.");
}

function follow() {
  const source = new EventSource(`${API}/stream`);
  source.addEventListener("open", () => {
    load().then(() => {
      connection(state.status.tick === null ? "Waiting for the first tick" : "Live", "good");
      notice("");
    }).catch(lost);
  });
  source.addEventListener("tick", (event) => {
    take(JSON.parse(event.data));
    connection("Live", "good");
    notice("");
  });
  source.addEventListener("error", () => {
    lost();
    if (source.readyState === EventSource.CLOSED) setTimeout(follow, RETRY_MS);
  });
}

function watch() {
  const step = state.status?.step_s;
  const silent = (Date.now() - state.heard) / 1000;
  if (step && silent > Math.max(3 * step, 10) && $("connection").textContent === "Live") {
    connection("No ticks", "warn");
    notice(`The loop has not ticked for ${Math.round(silent)} s; the network keeps its last state.`);
  }
}

for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const same = order.key === button.dataset.key;
    order.up = same ? !order.up : button.dataset.key === "name";
    order.key = button.dataset.key;
    for (const head of document.querySelectorAll("thead th")) head.setAttribute("aria-sort", "none");
    button.parentElement.setAttribute("aria-sort", order.up ? "ascending" : "descending");
    showTable();
  });
}

const bounds = ["0", "20", "40", "60", "80", "100 %"];
$("scale").replaceChildren(...bounds.map((from, position) => {
  const item = element("li", position === 5 ? `above ${from}` : `${from}–${bounds[position + 1].replace(" %", "")} %`);
  item.prepend(element("span", "", `swatch u${position}`));
  return item;
}));

showDecisions();
map.draw();
follow();
setInterval(watch, 1000);
