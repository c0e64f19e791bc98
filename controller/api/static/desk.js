// The desk: logging in, freezing, explanations, one demand with its forecast, policies in force.

import { make, percent, rate } from "./map.js";

const API = "api/v1";
const LIGHT = "foresteer-theme";
const $ = (id) => document.getElementById(id);
const me = { role: null, by: "nothing", csrf: "" };
let frozen = false;
let agreed = null;

async function ask(path, method = "GET", body = undefined) {
  const headers = { accept: "application/json" };
  if (body !== undefined) headers["content-type"] = "application/json";
  if (me.csrf) headers["x-csrf-token"] = me.csrf;
  const answer = await fetch(`${API}/${path}`, { method, headers, body: body && JSON.stringify(body) });
  const found = answer.status === 204 ? null : await answer.json();
  if (!answer.ok) throw new Error(found?.detail ?? `${answer.status}`);
  return found;
}

function element(tag, content, className) {
  const made = document.createElement(tag);
  made.textContent = content;
  if (className) made.className = className;
  return made;
}

// who one is

function showMe() {
  const operator = me.role === "operator" || me.role === "admin";
  $("login").textContent = me.by === "session" ? `Log out ${me.name}` : "Log in";
  $("freeze").hidden = !operator;
  $("freeze").textContent = frozen ? "Let go" : "Freeze";
}

async function whoAmI() {
  Object.assign(me, await ask("session"));
  showMe();
}

// one dialog for everything that must be agreed to; what is agreed runs while it is open
function agree(head, words, yes, withToken, run) {
  $("ask-head").textContent = head;
  $("ask-words").textContent = words;
  $("ask-yes").textContent = yes;
  $("ask-error").textContent = "";
  $("token-label").hidden = !withToken;
  $("token").value = "";
  agreed = run;
  $("ask").showModal();
}

$("ask-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await agreed();
    $("ask").close();
  } catch (error) {
    $("ask-error").textContent = error.message;
  }
});
$("ask-no").addEventListener("click", () => $("ask").close());

$("login").addEventListener("click", async () => {
  if (me.by === "session") {
    await ask("session", "DELETE");
    location.reload();
    return;
  }
  agree("Log in", "With a token: foresteer token create NAME --role operator.", "Log in", true, async () => {
    await ask("session", "POST", { token: $("token").value.trim() });
    location.reload();
  });
});

$("freeze").addEventListener("click", () => {
  const words = frozen
    ? "The loop plans and moves traffic again."
    : "Nothing moves any more but what must: traffic stays on its circuits until you let go.";
  agree(frozen ? "Let go?" : "Freeze?", words, frozen ? "Let go" : "Freeze", false, async () => {
    frozen = (await ask("freeze", "PUT", { frozen: !frozen })).frozen;
    showMe();
  });
});

// explanations

document.addEventListener("click", async (event) => {
  const number = event.target.dataset?.number;
  if (number === undefined) return;
  $("why-head").textContent = `Decision ${number}`;
  $("why-words").replaceChildren(element("p", "Asking the journal", "soft"));
  $("why").showModal();
  try {
    const found = await ask(`explain/decision/${number}`);
    $("why-words").replaceChildren(...found.words.map((line) => element("p", line)));
  } catch (error) {
    $("why-words").replaceChildren(element("p", error.message, "bad"));
  }
});

// one demand

function options(select, names, chosen) {
  select.replaceChildren(...names.map((name) => {
    const made = element("option", name);
    made.value = name;
    made.selected = name === chosen;
    return made;
  }));
}

document.addEventListener("network", (event) => {
  const names = event.detail.map((node) => node.name);
  if (names.length < 2) return;
  const src = names.includes($("src").value) ? $("src").value : names[0];
  const dst = names.includes($("dst").value) ? $("dst").value : names[1];
  options($("src"), names, src);
  options($("dst"), names, dst);
  showDemand();
});

function band(points, low, high, className) {
  const there = points.map((x, at) => `${x},${high[at]}`);
  const back = points.map((x, at) => `${x},${low[at]}`).reverse();
  return make("polygon", { class: className, points: [...there, ...back].join(" ") });
}

function drawFan(found) {
  const past = found.history_bps;
  const last = found.horizons_steps.at(-1);
  const fans = found.quantiles_bps;
  const top = Math.max(1, ...past, ...fans.flat()) * 1.08;
  const x = (step) => (((step + past.length - 1) / (past.length - 1 + last)) * 600).toFixed(1);
  const y = (value) => (160 - (value / top) * 160).toFixed(1);
  const steps = [0, ...found.horizons_steps];
  const of = (at) => [past.at(-1), ...fans.map((row) => row[at])].map(y);
  const points = steps.map(x);
  const count = found.levels.length;
  const parts = [];
  for (let at = 0; at < Math.floor(count / 2); at += 1) {
    parts.push(band(points, of(at), of(count - 1 - at), "interval"));
  }
  const middle = of(Math.floor(count / 2)).map((value, at) => `${points[at]},${value}`).join(" ");
  parts.push(make("polyline", { class: "soon", points: middle }));
  parts.push(make("polyline", {
    class: "now",
    points: past.map((value, at) => `${x(at - past.length + 1)},${y(value)}`).join(" "),
  }));
  $("fan").replaceChildren(...parts);
  const far = fans.at(-1);
  $("fan").setAttribute("aria-label", `Demand from ${found.src} to ${found.dst}: now ${rate(past.at(-1))}`);
  $("fan-words").textContent = `Now ${rate(past.at(-1))}; in ${last} intervals ${rate(far[Math.floor(count / 2)])},`
    + ` between ${rate(far[0])} and ${rate(far[count - 1])} with`
    + ` ${Math.round(100 * (found.levels[count - 1] - found.levels[0]))} %. By ${found.model || "simple forecasters"}.`;
}

async function showDemand() {
  const [src, dst] = [$("src").value, $("dst").value];
  if (!src || src === dst) {
    $("fan-words").textContent = "Choose two different locations.";
    return;
  }
  const ends = [src, dst].map(encodeURIComponent);
  try {
    const [found, splits] = await Promise.all([
      ask(`forecast/${ends[0]}/${ends[1]}`), ask(`splits?src=${ends[0]}&dst=${ends[1]}`)]);
    drawFan(found);
    const parts = splits.splits.flatMap((split) => split.parts);
    $("ways").replaceChildren(...parts.map((part) => element("li",
      `${percent(part.share)} by ${part.links.join(", ") || "the plain route"}`)));
  } catch (error) {
    $("fan-words").textContent = error.message;
  }
}

$("demand").addEventListener("change", showDemand);

// policies

function ruleWords(one) {
  const where = one.location ? ` at ${one.location}` : "";
  const to = one.targets.length ? ` to ${one.targets.join(", ")}` : "";
  return `${one.name}: ${one.action} ${percent(one.share)}${where}${to}, by ${one.written_by}: ${one.why}`;
}

async function showRules() {
  try {
    const found = await ask("policies/rulings");
    const items = [
      ...found.active.map((one) => element("li", ruleWords(one))),
      ...found.refused.map((one) => element("li", `${one.name} ${one.service}: ${one.why}`, "soft")),
      ...found.services.map((one) => element("li", `${one.service} from ${one.source}: `
        + Object.entries(one.shares).map(([name, share]) => `${percent(share)} ${name}`).join(", "))),
    ];
    $("rules").replaceChildren(...(items.length ? items : [element("li", "No rule is in force", "soft")]));
  } catch (error) {
    $("rules").replaceChildren(element("li", error.message, "soft"));
  }
}

document.addEventListener("tick", (event) => {
  frozen = Boolean(event.detail.status.details.frozen);
  showMe();
  showDemand();
  showRules();
});

// light or dark: as the system has it, until one chooses

function setTheme(name) {
  if (name) document.documentElement.dataset.theme = name;
}

$("theme").addEventListener("click", () => {
  const now = document.documentElement.dataset.theme
    ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  const next = now === "dark" ? "light" : "dark";
  setTheme(next);
  localStorage.setItem(LIGHT, next);
});

setTheme(localStorage.getItem(LIGHT));
whoAmI().catch(() => {});
showRules();
