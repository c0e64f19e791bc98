// The page: asks for everything once, then follows the stream of ticks.

import { $, ask, element, follow as listen, hear, tell, text } from "./common.js";
import { make, NetworkMap, percent, rate, shade } from "./map.js";
import { take as slide } from "./slider.js";

const REMEMBERED = 60;
const RETRY_MS = 2000;

const state = { status: null, nodes: [], links: [], shown: [], decisions: [], heard: 0 };
const order = { key: "forecast", up: false };
const map = new NetworkMap($("map"), $("tip"), (name) => markRow(name));

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

const rows = new Map();

function newRow(link) {
  const row = document.createElement("tr");
  row.dataset.name = link.name;
  const name = element("th", link.name);
  name.scope = "row";
  row.append(name, element("td"), element("td"));
  for (let at = 0; at < 2; at += 1) {
    const cell = element("td");
    cell.append(element("span", "", "swatch"), " ");
    row.append(cell);
  }
  row.addEventListener("mouseenter", () => map.highlight(link.name));
  row.addEventListener("mouseleave", () => map.highlight(null));
  return row;
}

function fill(node, words) {
  if (node.data !== words) node.data = words;
}

function fillRow(row, link) {
  const [, capacity, carried, near, far] = row.children;
  for (const [cell, words] of [[capacity, rate(link.capacity_bps)], [carried, link.up ? rate(link.rate_bps) : "down"]]) {
    if (!cell.firstChild) cell.append("");
    fill(cell.firstChild, words);
  }
  for (const [cell, value] of [[near, link.observed], [far, link.forecast]]) {
    const shown = `swatch ${link.up ? shade(value) : "un"}`;
    if (cell.firstChild.className !== shown) cell.firstChild.className = shown;
    fill(cell.lastChild, link.up ? ` ${percent(value)}` : " –");
  }
}

// rows are kept and changed where something changed; they move only when their order did
function showTable() {
  const direction = order.up ? 1 : -1;
  const value = (link) => link[order.key] ?? -1;
  const compare = (a, b) => (order.key === "name"
    ? a.name.localeCompare(b.name) : value(a) - value(b)) * direction;
  const sorted = [...state.shown].sort(compare).map((link) => {
    if (!rows.has(link.name)) rows.set(link.name, newRow(link));
    fillRow(rows.get(link.name), link);
    return rows.get(link.name);
  });
  const there = $("rows").children;
  if (sorted.length !== there.length || sorted.some((row, at) => row !== there[at])) $("rows").replaceChildren(...sorted);
}

function markRow(name) {
  for (const row of $("rows").children) row.classList.toggle("marked", row.dataset.name === name);
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

function showAll(fresh) {
  showStatus();
  showFigures();
  showHistory();
  // the slider says which links are shown
  if (state.status.tick !== null) slide(state.status, state.links, fresh);
  tell("decisions", state.decisions);
}

hear("frame", (found) => {
  state.shown = found.links;
  map.update(found.links, found.near, found.far);
  text("column-near", found.near === "observed" ? "Observed" : "Expected");
  text("column-far", found.far.startsWith("forecast") ? "Forecast" : "9 in 10");
  text("caption", `Links, ${found.words}`);
  showTable();
});
hear("login", () => load().catch(lost));

async function load() {
  const [status, topology, decided] = await Promise.all(
    [ask("status"), ask("topology"), ask(`decisions?limit=${REMEMBERED}`)]);
  state.status = status;
  state.nodes = topology.nodes;
  state.links = topology.links;
  state.decisions = decided.decisions;
  state.heard = Date.now();
  map.show(state.nodes, state.links);
  showAll(true);
  // before the first tick there is nothing to ask for
  if (status.tick !== null) tell("network", state.nodes);
}

function take(update) {
  const began = performance.now();
  renew(update);
  if (state.heard % 100 === 0) performance.clearMeasures("update");
  performance.measure("update", { start: began, end: performance.now() });
}

function renew(update) {
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
  showAll(false);
  tell("tick", update);
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
  const source = listen();
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

map.draw();
follow();
setInterval(watch, 1000);
