// The desk: logging in, freezing, explanations, light and dark.

import { $, ask, element, hear, me, tell, text } from "./common.js";

const LIGHT = "foresteer-theme";
let frozen = false;
let agreed = null;

// who one is

function showMe() {
  const operator = me.role === "operator" || me.role === "admin";
  text("login", me.by === "session" ? `Log out ${me.name}` : "Log in");
  $("freeze").hidden = !operator;
  text("freeze", frozen ? "Let go" : "Freeze");
}

async function whoAmI() {
  Object.assign(me, await ask("session"));
  showMe();
}

// one dialog for everything that must be agreed to; what is agreed runs while it is open
function agree(head, words, yes, withToken, run) {
  text("ask-head", head);
  text("ask-words", words);
  text("ask-yes", yes);
  text("ask-error", "");
  $("token-label").hidden = !withToken;
  $("token").value = "";
  agreed = run;
  $("ask").showModal();
}

$("ask-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  $("ask-yes").disabled = true;
  try {
    await agreed();
    $("ask").close();
  } catch (error) {
    text("ask-error", error.message);
  }
  $("ask-yes").disabled = false;
});
$("ask-no").addEventListener("click", () => $("ask").close());

$("login").addEventListener("click", async () => {
  if (me.by === "session") {
    await ask("session", "DELETE").catch(() => {});
    location.reload();
    return;
  }
  agree("Log in", "With a token: foresteer token create NAME --role operator.", "Log in", true, async () => {
    await ask("session", "POST", { token: $("token").value.trim() });
    await whoAmI();
    tell("login");
  });
});

$("freeze").addEventListener("click", () => {
  const words = frozen
    ? "The loop plans and moves traffic again."
    : "Nothing moves any more but what must: traffic stays on its circuits until you let go.";
  agree(frozen ? "Let go?" : "Freeze?", words, frozen ? "Let go" : "Freeze", false, async () => {
    frozen = (await ask("freeze", "PUT", { frozen: !frozen })).frozen;
    $("frozen").hidden = !frozen;
    showMe();
  });
});

// explanations: every button with data-explain

document.addEventListener("click", async (event) => {
  const asked = event.target.closest?.("[data-explain]");
  if (!asked) return;
  text("why-head", asked.dataset.title);
  $("why-words").replaceChildren(element("p", "Asking the journal", "soft"));
  if (!$("why").open) $("why").showModal();
  try {
    const found = await ask(`explain/${asked.dataset.explain}`);
    $("why-words").replaceChildren(...found.words.map((line) => element("p", line)));
  } catch (error) {
    $("why-words").replaceChildren(element("p", error.message, "bad"));
  }
});

hear("tick", (update) => {
  frozen = Boolean(update.status.details.frozen);
  showMe();
});

// light or dark: as the system has it, until one chooses

function dark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function showTheme() {
  text("theme", dark() ? "Light" : "Dark");
  tell("theme");
}

$("theme").addEventListener("click", () => {
  const next = dark() ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  localStorage.setItem(LIGHT, next);
  showTheme();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showTheme);

const kept = localStorage.getItem(LIGHT);
if (kept === "dark" || kept === "light") document.documentElement.dataset.theme = kept;
showTheme();
whoAmI().catch(() => {});
