// Forecast fans: the past of a demand or of any series, and its quantiles to come.

import { ago, chart } from "./charts.js";
import { $, ask, element, hear, table, text } from "./common.js";
import { percent, rate } from "./map.js";

const DEMANDS = "demands";
let names = [];
let kinds = {};
let asked = 0;

function options(select, values, label = (value) => value) {
  const before = select.value;
  if ([...select.options].map((one) => one.value).join("\n") === values.join("\n")) return;
  select.replaceChildren(...values.map((value) => {
    const made = element("option", label(value));
    made.value = value;
    return made;
  }));
  if (values.includes(before)) select.value = before;
}

function choose() {
  const demands = $("kind").value === DEMANDS;
  $("ends").hidden = !demands;
  $("one").hidden = demands;
  if (!demands) options($("name"), kinds[$("kind").value]?.series ?? []);
}

function writer(unit) {
  if (unit === "bit/s") return rate;
  const short = (value) => (value === null ? "–" : Number(value.toPrecision(3)).toString());
  return unit ? (value) => `${short(value)} ${unit}` : short;
}

// past: values, oldest first; ahead_s: seconds; fans: [horizon][level]
function show({ title, past, step_s, ahead_s, levels, fans, write, by }) {
  const count = levels.length;
  const now = past.at(-1) ?? null;
  const xs = [...past.map((_, at) => (at - past.length + 1) * step_s), ...ahead_s];
  const none = past.slice(0, -1).map(() => null);
  const quantile = (at) => [...none, now, ...fans.map((row) => row[at])];
  const middle = levels.reduce((best, level, at) => (
    Math.abs(level - 0.5) < Math.abs(levels[best] - 0.5) ? at : best), 0);
  const pairs = Array.from({ length: Math.floor(count / 2) }, (_, at) => [count - 1 - at, at]);
  const data = [xs, [...past, ...ahead_s.map(() => null)], quantile(middle)];
  const series = [
    { label: "observed", colour: "--u2" }, { label: "median", colour: "--u3", dash: [6, 4] },
  ];
  const bands = [];
  for (const [high, low] of pairs) {
    data.push(quantile(high), quantile(low));
    series.push({ label: `${levels[high]}`, width: 0 }, { label: `${levels[low]}`, width: 0 });
    bands.push([data.length - 2, data.length - 1, 18]);
  }
  chart("fan", { data, series, bands, values: write, x: ago });
  $("fan").setAttribute("aria-label", `${title}: past, median and intervals to come; the table below has the figures`);
  const far = fans.at(-1);
  const width = Math.round(100 * (levels[count - 1] - levels[0]));
  text("fan-words", `${title}: now ${write(now)}; in ${ago(ahead_s.at(-1)).slice(1)} ${write(far[middle])}, between`
    + ` ${write(far[0])} and ${write(far[count - 1])} with ${width} %.${by ? ` By ${by}.` : ""}`);
  $("fan-head").replaceChildren(...["When", "Lowest", "Median", "Highest"].map((word) => {
    const cell = element("th", word);
    cell.scope = "col";
    return cell;
  }));
  table($("fan-rows"), [
    ["now", write(now), write(now), write(now)],
    ...fans.map((row, at) => [ago(ahead_s[at]), write(row[0]), write(row[middle]), write(row[count - 1])]),
  ], "", 4);
}

function nothing(words) {
  text("fan-words", words);
  $("fan-rows").replaceChildren();
  chart("fan", { data: [[], []], series: [{ label: "", colour: "--u2" }], bands: [], values: String, x: ago });
}

async function showDemand(number) {
  const [src, dst] = [$("src").value, $("dst").value];
  $("why-demand").disabled = !src || src === dst;
  if (!src || src === dst) {
    nothing("Choose two different locations.");
    $("ways").replaceChildren();
    return;
  }
  const ends = [src, dst].map(encodeURIComponent);
  $("why-demand").dataset.explain = `demand/${ends.join("/")}`;
  $("why-demand").dataset.title = `From ${src} to ${dst}`;
  const [found, splits] = await Promise.all([
    ask(`forecast/${ends.join("/")}`), ask(`splits?src=${ends[0]}&dst=${ends[1]}`)]);
  if (number !== asked) return;
  const step = found.step_s;
  show({
    title: `From ${src} to ${dst}`, past: found.history_bps, step_s: step, levels: found.levels,
    ahead_s: found.horizons_steps.map((steps) => steps * step), fans: found.quantiles_bps, write: rate,
    by: found.model || "simple forecasters",
  });
  const parts = splits.splits.flatMap((split) => split.parts);
  $("ways").replaceChildren(...(parts.length ? parts : [{ share: 1, links: [] }]).map((part) => element("li",
    `${percent(part.share)} by ${part.links.join(", ") || "the plain route"}`)));
}

async function showSeries(number) {
  const [kind, name] = [$("kind").value, $("name").value];
  $("ways").replaceChildren();
  if (!name) {
    nothing("There is no series of this kind.");
    return;
  }
  const found = await ask(`forecasts?kind=${encodeURIComponent(kind)}&name=${encodeURIComponent(name)}`);
  if (number !== asked) return;
  const one = found.series[0];
  show({
    title: `${kind} ${name}`, past: one.past?.length ? one.past : [one.value], step_s: found.step_s,
    levels: found.levels, ahead_s: found.horizons_s, fans: one.quantiles, write: writer(found.unit),
    by: found.skill.map((each) => each.used).filter(Boolean)[0],
  });
}

async function refresh() {
  if (!names.length) return;
  asked += 1;
  const demands = $("kind").value === DEMANDS;
  $("why-demand").hidden = !demands;
  try {
    await (demands ? showDemand(asked) : showSeries(asked));
  } catch (error) {
    nothing(error.message);
  }
}

async function learnKinds() {
  const found = await ask("series").catch(() => ({ kinds: {} }));
  kinds = Object.fromEntries(Object.entries(found.kinds).filter(([kind]) => kind !== "signal"));
  options($("kind"), [DEMANDS, ...Object.keys(kinds)], (kind) => kind.replaceAll("_", " "));
  choose();
}

hear("network", (nodes) => {
  names = nodes.map((node) => node.name);
  if (names.length < 2) return;
  const first = !$("dst").options.length;
  options($("src"), names);
  options($("dst"), names);
  if (first) $("dst").value = names[1];
  learnKinds().then(refresh);
});
hear("tick", refresh);
$("demand").addEventListener("submit", (event) => event.preventDefault());
$("demand").addEventListener("change", () => {
  choose();
  refresh();
});
$("kind").addEventListener("focus", learnKinds);
