// The timeline: decisions, announced events and alarms, newest first; why, on click.

import { $, ask, button, clock, element, hear, span } from "./common.js";

const SHOWN = 14;
const EVERY_MS = 2000;
const others = { at: 0, events: [], alarms: [] };
let decisions = [];

function entry(kind, time_s, words, small, more) {
  const item = element("li", "", kind);
  const head = element("p");
  const when = element("time", clock(time_s));
  when.dateTime = new Date(time_s * 1000).toISOString();
  head.append(when, element("span", kind, "kind"));
  item.append(head, element("p", words.replaceAll(" %", "\u00a0%")));
  for (const line of small) item.append(element("small", line));
  if (more) item.append(more);
  return { time_s, item, kind };
}

function ofDecision(made) {
  const buckets = made.moved_buckets === 1 ? "1 bucket" : `${made.moved_buckets} buckets`;
  const known = made.number !== null && made.number !== undefined;
  const more = known ? button("Why?", `Why? Decision ${made.number}`, {
    explain: `decision/${made.number}`, title: `Decision ${made.number}`, number: made.number,
  }) : null;
  const lines = [
    `tick ${made.tick}: ${buckets} moved, ${made.method}, ${Math.round(made.decide_ms)} ms`,
    ...(made.rules ?? []).map((rule) => `rule ${rule}`), ...made.notes,
  ];
  const found = entry(made.event ? "event" : "decision", made.time_s,
    made.event && !made.reason.startsWith(made.event) ? `${made.event}: ${made.reason}` : made.reason, lines, more);
  for (const error of made.errors) found.item.append(element("small", error, "bad"));
  return found;
}

function ofEvent(one) {
  const where = one.source || one.destination
    ? `, ${one.source || "anywhere"} to ${one.destination || "anywhere"}` : "";
  return entry("announced", one.start_s, `${one.name}: ${one.factor} times as much${where}`,
    [`for ${span(one.duration_s)}; believed by ${Math.round(100 * one.credibility)} %`]);
}

function ofAlarm(one) {
  const when = one.expected_s ? `expected in ${span(one.expected_s)}` : "now";
  return entry("alarm", one.time_s, `${one.kind.replaceAll("_", " ")} ${one.name}: ${one.what}`,
    [`${when}, severity ${one.severity} of 5`]);
}

function show() {
  const wanted = $("show").value;
  const all = [
    ...decisions.map(ofDecision), ...others.events.map(ofEvent), ...others.alarms.map(ofAlarm),
  ].filter((one) => wanted === "all" || one.kind === wanted);
  const items = all.sort((a, b) => b.time_s - a.time_s).slice(0, SHOWN).map((one) => one.item);
  const active = document.activeElement?.dataset?.number;
  $("decisions").replaceChildren(...(items.length ? items : [element("li", "None yet", "soft")]));
  // whoever was at a button stays there
  if (active) $("decisions").querySelector(`[data-number="${CSS.escape(active)}"]`)?.focus();
}

async function learn() {
  if (Date.now() - others.at < EVERY_MS) return;
  others.at = Date.now();
  const [events, alarms] = await Promise.all([
    ask("events?limit=50").catch(() => ({ events: [] })), ask("alarms?limit=20").catch(() => ({ alarms: [] }))]);
  Object.assign(others, { events: events.events, alarms: alarms.alarms });
  show();
}

hear("decisions", (found) => {
  decisions = found;
  show();
  learn();
});
$("show").addEventListener("change", show);
show();
