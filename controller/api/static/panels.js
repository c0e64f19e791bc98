// What stands beside the map: policies, services, circuits, engines, hindsight.

import { ago, chart } from "./charts.js";
import { $, ask, button, element, hear, table, text } from "./common.js";
import { percent, rate } from "./map.js";

const EVERY_MS = 1000;
const CIRCUITS = 200;
let last = 0;

function ruleWords(one) {
  const where = one.location ? ` at ${one.location}` : "";
  const to = one.targets.length ? ` to ${one.targets.join(", ")}` : "";
  return `${one.name}: ${one.action} ${percent(one.share)}${where}${to}, by ${one.written_by}: ${one.why}`;
}

function list(id, items, empty) {
  $(id).replaceChildren(...(items.length ? items : [element("li", empty, "soft")]));
}

async function rules() {
  const found = await ask("policies/rulings");
  text("policy-version", found.version ? `Version ${found.version} is in force.` : "No document was applied yet.");
  list("rules", [
    ...found.active.map((one) => element("li", ruleWords(one))),
    ...found.refused.map((one) => element("li", `refused: ${one.name} ${one.service}: ${one.why}`, "soft")),
  ], "No rule is in force");
  list("services", found.services.map((one) => element("li", `${one.service} from ${one.source}: `
    + Object.entries(one.shares).map(([name, share]) => `${percent(share)} ${name}`).join(", "))), "No service is spread");
}

async function engines() {
  const found = await ask("engines");
  table($("engine-rows"), found.engines.map((one) => [
    one.name, one.location, one.alive ? "alive" : element("span", "headless", "bad"),
    `${one.circuits_from} / ${one.circuits_to}`]), "None is known", 4);
}

async function requests() {
  const found = await ask("requests");
  table($("request-rows"), found.circuits.map((one) => [
    one.name, `${one.source ?? one.src} to ${one.destination ?? one.dst}`, percent(one.share),
    one.reserved_bps ? rate(one.reserved_bps) : "–", `${(one.rules ?? []).length}`]), "Nobody asked for any", 5);
}

async function circuits() {
  if (!$("circuits").open) return;
  const found = await ask(`circuits?limit=${CIRCUITS}`);
  text("circuit-words", found.next ? `The first ${CIRCUITS} of ${found.total}.` : `${found.total} of plan ${found.plan}.`);
  table($("circuit-rows"), found.circuits.map((one) => [
    `${one.spi}`, `${one.src} to ${one.dst}`, percent(one.share), one.links.join(", "), one.backup.join(", ") || "–",
    button("Why?", `Why? Circuit ${one.spi}`, { explain: `circuit/${one.spi}`, title: `Circuit ${one.spi}` })]),
  "There are none", 6);
}

function beside(found) {
  const { summary } = found;
  if (!summary.decisions) {
    text("hindsight-words", "It is known some intervals after a decision.");
  } else {
    text("hindsight-words", `Over ${summary.decisions} decisions the busiest link was`
      + ` ${percent(summary.regret)} above the least possible; had it only reacted, ${percent(summary.regret_of_reacting)}.`
      + ` Better in ${summary.better}, worse in ${summary.worse}.`);
  }
  const past = [...found.decisions].reverse();
  const of = (key) => past.map((one) => one[key]);
  const now = past.at(-1)?.time_s ?? 0;
  chart("beside", {
    data: [past.map((one) => one.time_s - now), of("optimum"), of("reactive"), of("utilisation")],
    series: [
      { label: "least possible", colour: "--soft", width: 1.5, dash: [2, 3] },
      { label: "only reacting", colour: "--u4", dash: [6, 4] },
      { label: "as it is", colour: "--u2", width: 2.5 },
    ],
    values: percent,
    x: ago,
  });
  table($("beside-rows"), found.decisions.slice(0, 12).map((one) => [
    button(`${one.number}`, `Why? Decision ${one.number}`, {
      explain: `decision/${one.number}`, title: `Decision ${one.number}` }),
    percent(one.utilisation), percent(one.reactive), percent(one.optimum)]), "Not known yet", 4);
}

async function hindsight() {
  beside(await ask("hindsight?limit=100"));
}

// a part that this Foresteer does not have is left out; one that fails says so
async function part(id, run) {
  try {
    await run();
    $(id).hidden = false;
  } catch (error) {
    $(id).hidden = error.status === 404;
    text(`${id}-problem`, error.status === 404 ? "" : error.message);
    return;
  }
  text(`${id}-problem`, "");
}

function refresh(force = false) {
  if (!force && Date.now() - last < EVERY_MS) return;
  last = Date.now();
  part("policies", rules);
  part("engines", engines);
  part("asked", requests);
  part("circuits-part", circuits);
  part("hindsight", hindsight);
}

hear("tick", () => refresh());
hear("network", () => refresh(true));
$("circuits").addEventListener("toggle", () => part("circuits-part", circuits));
