// The slider: links as they were, as they are, as they are forecast to be.

import { $, ask, clock, hear, span, tell, text } from "./common.js";

const PAST = 60;
const held = { past: [], now: null, ahead: [], names: [], at: null };

// a frame's links look like the live ones: near is drawn first, far beside it
function linksOf(near, far, up) {
  const at = new Map(held.names.map((name, position) => [name, position]));
  return held.now.links.map((link) => {
    const position = at.get(link.name);
    if (position === undefined) return { ...link, up: false, observed: null, forecast: null, rate_bps: null };
    const seen = near[position];
    return {
      ...link,
      up: up ? up[position] : link.up,
      observed: seen,
      forecast: far[position],
      rate_bps: seen === null ? null : Math.round(seen * link.capacity_bps),
    };
  });
}

function frame() {
  const at = held.at === null ? held.past.length : held.at;
  if (at < held.past.length) {
    const one = held.past[at];
    const ago = held.now.time_s - one.time_s;
    return {
      words: `${span(ago)} ago, ${clock(one.time_s)}`,
      near: "observed", far: "forecast for the next interval",
      links: linksOf(one.observed, one.forecast, one.up),
    };
  }
  const one = held.ahead[at - held.past.length - 1];
  if (!one) {
    return {
      words: "now", near: "observed", far: "forecast for the next interval", links: held.now.links,
    };
  }
  return {
    words: `in ${span(one.ahead_s)}, forecast`,
    near: "expected", far: "nine in ten below",
    links: linksOf(one.expected, one.high, null),
  };
}

function show() {
  if (!held.now) return;
  const slider = $("time");
  const last = held.past.length + held.ahead.length;
  slider.max = last;
  slider.value = held.at === null ? held.past.length : held.at;
  const found = frame();
  slider.setAttribute("aria-valuetext", found.words);
  text("time-words", found.words);
  text("near-words", found.near);
  text("far-words", found.far);
  $("back").disabled = held.at === null;
  tell("frame", found);
}

async function load() {
  const found = await ask(`history/links?limit=${PAST}`);
  held.names = found.links;
  // the newest of the past is now
  held.past = found.past.slice(1).reverse();
  held.ahead = found.ahead;
  show();
}

async function lookAhead() {
  const found = await ask("history/links?limit=1");
  if (found.links.join() === held.names.join()) held.ahead = found.ahead;
  show();
}

// the newest picture; what it was before goes to the past
export function take(status, links, fresh) {
  const before = held.now;
  held.now = { time_s: status.time_s, tick: status.tick, links };
  if (fresh || !before) {
    load().catch(() => show());
    return;
  }
  if (before.tick !== held.now.tick && before.tick !== null) {
    const by = new Map(before.links.map((link) => [link.name, link]));
    const of = (key) => held.names.map((name) => by.get(name)?.[key] ?? null);
    held.past.push({
      tick: before.tick, time_s: before.time_s, up: of("up"), observed: of("observed"), forecast: of("forecast"),
    });
    if (held.past.length >= PAST) {
      held.past.shift();
    } else if (held.at !== null && held.at >= held.past.length) {
      held.at += 1;
    }
    if (held.at !== null && held.at > held.past.length) lookAhead().catch(() => {});
  }
  show();
}

$("time").addEventListener("input", (event) => {
  const at = Number(event.target.value);
  held.at = at === held.past.length ? null : at;
  show();
  if (held.at !== null && held.at > held.past.length) lookAhead().catch(() => {});
});
$("back").addEventListener("click", () => {
  held.at = null;
  show();
  $("time").focus();
});
hear("theme", show);
