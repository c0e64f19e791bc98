// Charts by uPlot, which is fetched at set-up; without it there are the tables only.

import { $, hear, span } from "./common.js";

const charts = new Map();

export const able = () => typeof window.uPlot === "function";

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function draw(id) {
  const { host, data, series, bands, values, x, chart, drawn } = charts.get(id);
  const width = host.clientWidth;
  if (!width) return;
  const key = JSON.stringify([series, bands, width]);
  if (chart && drawn === key) {
    chart.setData(data);
    return;
  }
  chart?.destroy();
  host.replaceChildren();
  const axis = {
    stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") },
    font: "12px system-ui",
  };
  const made = new window.uPlot({
    width,
    height: 190,
    legend: { show: false },
    cursor: { drag: { x: false, y: false } },
    scales: { x: { time: false }, y: { range: (_, low, high) => [Math.min(0, low), Math.max(high, 1e-6) * 1.08] } },
    axes: [
      { ...axis, values: (_, ticks) => ticks.map((at) => x(at)) },
      { ...axis, size: 76, values: (_, ticks) => ticks.map((at) => values(at)) },
    ],
    series: [{}, ...series.map((one) => ({
      label: one.label, stroke: one.colour ? colour(one.colour) : "transparent", width: one.width ?? 2,
      dash: one.dash, points: { show: false }, spanGaps: false,
    }))],
    bands: (bands ?? []).map(([upper, lower, alpha]) => ({
      series: [upper, lower], fill: `${colour("--accent")}${Math.round(alpha * 2.55).toString(16).padStart(2, "0")}`,
    })),
  }, data, host);
  Object.assign(charts.get(id), { chart: made, drawn: key });
}

// data: as uPlot takes them, x first; values and x: how figures are written
export function chart(id, what) {
  const host = $(id);
  const missing = $(`${id}-missing`);
  if (missing) missing.hidden = able();
  host.hidden = !able();
  if (!able()) return;
  if (!charts.has(id)) new ResizeObserver(() => charts.get(id) && draw(id)).observe(host);
  charts.set(id, { chart: null, drawn: "", ...charts.get(id), ...what, host });
  draw(id);
}

export const ago = (seconds) => (seconds === 0 ? "now" : `${seconds < 0 ? "−" : "+"}${span(seconds)}`);

hear("theme", () => {
  for (const [id, one] of charts) {
    one.drawn = "";
    draw(id);
  }
});
