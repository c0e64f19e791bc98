// The map: directed links beside each other, coloured by observed and forecast utilisation.

const SVG = "http://www.w3.org/2000/svg";
const STEPS = [0.2, 0.4, 0.6, 0.8, 1.0];
const NODE = 6; // radius in pixels
const GAP = 4.5; // between the lines of one direction, in pixels

export function shade(value) {
  if (value === null || value === undefined) return "un";
  const position = STEPS.findIndex((step) => value <= step);
  return `u${position < 0 ? STEPS.length : position}`;
}

export function percent(value) {
  if (value === null || value === undefined) return "–";
  const hundred = value * 100;
  return `${hundred.toFixed(hundred >= 9.95 || hundred === 0 ? 0 : 1)}\u00a0%`;
}

export function rate(value) {
  if (value === null || value === undefined) return "–";
  const unit = [[1e9, "Gb/s"], [1e6, "Mb/s"], [1e3, "kb/s"]].find(([size]) => value >= size);
  if (!unit) return `${Math.round(value)} b/s`;
  const scaled = value / unit[0];
  return `${scaled.toFixed(scaled >= 100 ? 0 : scaled >= 10 ? 1 : 2)} ${unit[1]}`;
}

export function make(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function project(nodes) {
  const placed = nodes.filter((node) => node.lat !== null && node.lon !== null);
  const middle = placed.reduce((sum, node) => sum + node.lat, 0) / (placed.length || 1);
  const squeeze = Math.cos((middle * Math.PI) / 180);
  const points = new Map(placed.map((node) => [node.name, [node.lon * squeeze, -node.lat]]));
  const rest = nodes.filter((node) => !points.has(node.name));
  const xs = [...points.values()].map(([x]) => x);
  const ys = [...points.values()].map(([, y]) => y);
  const spread = (values) => (values.length ? Math.max(...values) - Math.min(...values) : 0);
  const centre = (values) => (values.length ? (Math.max(...values) + Math.min(...values)) / 2 : 0);
  const radius = Math.max(spread(xs), spread(ys)) * 0.6 || 1;
  rest.forEach((node, position) => {
    const angle = (2 * Math.PI * position) / rest.length - Math.PI / 2;
    points.set(node.name, [
      centre(xs) + 1.5 * radius * Math.cos(angle),
      centre(ys) + radius * Math.sin(angle),
    ]);
  });
  return points;
}

function fit(points, width) {
  const xs = [...points.values()].map(([x]) => x);
  const ys = [...points.values()].map(([, y]) => y);
  const [left, top] = [Math.min(...xs), Math.min(...ys)];
  const [wide, high] = [Math.max(...xs) - left || 1, Math.max(...ys) - top || 1];
  const [sides, ends] = [width < 500 ? 34 : 70, 30];
  const shape = Math.min(Math.max(high / wide, 0.42), 0.8);
  const height = Math.max(240, (width - 2 * sides) * shape + 2 * ends);
  const spots = new Map();
  for (const [name, [x, y]] of points) {
    spots.set(name, [
      sides + ((x - left) / wide) * (width - 2 * sides),
      ends + ((y - top) / high) * (height - 2 * ends),
    ]);
  }
  return { spots, height };
}

function pushApart(spots, distance, width, height) {
  const all = [...spots.values()];
  for (let round = 0; round < 80; round += 1) {
    let moved = false;
    for (let i = 0; i < all.length; i += 1) {
      for (let j = i + 1; j < all.length; j += 1) {
        const [a, b] = [all[i], all[j]];
        const [dx, dy] = [b[0] - a[0] || 0.1, b[1] - a[1]];
        const apart = Math.hypot(dx, dy);
        if (apart >= distance) continue;
        const push = (distance - apart) / 2 / apart;
        a[0] -= dx * push; a[1] -= dy * push;
        b[0] += dx * push; b[1] += dy * push;
        moved = true;
      }
    }
    if (!moved) break;
  }
  for (const spot of all) {
    spot[0] = Math.min(Math.max(spot[0], 12), width - 12);
    spot[1] = Math.min(Math.max(spot[1], 12), height - 12);
  }
}

function placeLabels(spots, segments, width, height, size) {
  const boxes = [...spots.values()].map(([x, y]) => [x - 9, y - 9, x + 9, y + 9]);
  const dots = [];
  for (const [[x1, y1], [x2, y2]] of segments) {
    const steps = Math.ceil(Math.hypot(x2 - x1, y2 - y1) / 6);
    for (let i = 0; i <= steps; i += 1) {
      dots.push([x1 + ((x2 - x1) * i) / steps, y1 + ((y2 - y1) * i) / steps]);
    }
  }
  const found = new Map();
  for (const [name, [x, y]] of spots) {
    const [wide, high] = [name.length * size * 0.6 + 4, size + 4];
    const options = [
      [x + 10, y - high / 2], [x - 10 - wide, y - high / 2],
      [x - wide / 2, y - 10 - high], [x - wide / 2, y + 10],
      [x + 7, y - 7 - high], [x + 7, y + 7], [x - 7 - wide, y - 7 - high], [x - 7 - wide, y + 7],
    ];
    let best = null;
    for (const [left, top] of options) {
      const box = [left, top, left + wide, top + high];
      const over = boxes.filter((other) => box[0] < other[2] && other[0] < box[2]
        && box[1] < other[3] && other[1] < box[3]).length;
      const lines = dots.filter(([dx, dy]) => dx > box[0] && dx < box[2]
        && dy > box[1] && dy < box[3]).length;
      const outside = box[0] < 0 || box[2] > width || box[1] < 0 || box[3] > height ? 60 : 0;
      const cost = over * 25 + lines + outside;
      if (!best || cost < best.cost) best = { cost, box };
    }
    boxes.push(best.box);
    found.set(name, [Math.max(2, Math.min(best.box[0], width - wide)), best.box[3] - 4]);
  }
  return found;
}

export class NetworkMap {
  constructor(svg, tip, mark) {
    this.svg = svg;
    this.tip = tip;
    this.mark = mark;
    this.nodes = [];
    this.links = [];
    this.groups = new Map();
    this.width = 0;
    this.near = "observed";
    this.far = "forecast";
    new ResizeObserver(() => this.resize()).observe(svg.parentElement);
    svg.addEventListener("keydown", (event) => this.key(event));
  }

  show(nodes, links) {
    this.nodes = nodes;
    this.links = links;
    this.draw();
  }

  resize() {
    const width = Math.round(this.svg.parentElement.clientWidth);
    if (width && width !== this.width) this.draw();
  }

  draw() {
    this.width = Math.round(this.svg.parentElement.clientWidth);
    this.groups.clear();
    this.hide();
    if (!this.nodes.length || !this.width) {
      this.svg.setAttribute("height", 260);
      this.svg.replaceChildren();
      return;
    }
    const { spots, height } = fit(project(this.nodes), this.width);
    pushApart(spots, this.width < 500 ? 24 : 40, this.width, height);
    this.svg.setAttribute("viewBox", `0 0 ${this.width} ${height}`);
    this.svg.setAttribute("height", height);
    const seen = new Map();
    const drawn = this.links.filter((link) => spots.has(link.src) && spots.has(link.dst));
    const groups = drawn.map((link) => {
      const key = `${link.src}>${link.dst}`;
      const lane = seen.get(key) || 0;
      seen.set(key, lane + 1);
      return this.drawLink(link, spots.get(link.src), spots.get(link.dst), lane);
    });
    const segments = drawn.map((link) => [spots.get(link.src), spots.get(link.dst)]);
    const labels = placeLabels(spots, segments, this.width, height, this.width < 500 ? 11 : 13);
    const nodes = [...spots].map(([name, [x, y]]) => {
      const [left, base] = labels.get(name);
      const text = make("text", { x: left + 2, y: base });
      text.textContent = name;
      return make("g", { class: "node" }, make("circle", { cx: x, cy: y, r: NODE }), text);
    });
    this.svg.replaceChildren(...groups, ...nodes);
    groups[0]?.setAttribute("tabindex", "0");
    this.update(this.links, this.near, this.far);
  }

  drawLink(link, [x1, y1], [x2, y2], lane) {
    const long = Math.hypot(x2 - x1, y2 - y1) || 1;
    const [ux, uy] = [(x2 - x1) / long, (y2 - y1) / long];
    const [nx, ny] = [-uy, ux]; // to the right of the way, as y grows downwards
    const trim = Math.min(NODE + 3, long / 4);
    const line = (offset) => {
      const [ox, oy] = [nx * offset, ny * offset];
      return [x1 + ux * trim + ox, y1 + uy * trim + oy, x2 - ux * trim + ox, y2 - uy * trim + oy];
    };
    const path = ([a, b, c, d]) => `M${a.toFixed(1)} ${b.toFixed(1)}L${c.toFixed(1)} ${d.toFixed(1)}`;
    const start = GAP * 0.65 + lane * GAP * 2.4;
    const [near, far, middle] = [line(start), line(start + GAP), line(start + GAP / 2)];
    const along = (share) => [middle[0] + (middle[2] - middle[0]) * share,
      middle[1] + (middle[3] - middle[1]) * share];
    const at = along(0.5);
    const head = along(0.66); // past the middle, so that the two directions' arrows do not meet
    const corner = (ahead, aside) => [head[0] + ux * ahead + nx * aside, head[1] + uy * ahead + ny * aside];
    const arrow = [corner(8, 0), corner(-3, 6), corner(-3, -6)]
      .map((point) => point.map((value) => value.toFixed(1)).join(" ")).join("L");
    const group = make("g", { class: "link", role: "img", tabindex: "-1" },
      make("path", { class: "hit", d: path(middle) }),
      make("path", { class: "now", d: path(near) }),
      make("path", { class: "soon", d: path(far) }),
      make("path", { class: "arrow", d: `M${arrow}Z` }));
    const enter = () => this.point(link.name, at);
    group.addEventListener("mouseenter", enter);
    group.addEventListener("focus", enter);
    group.addEventListener("click", enter);
    group.addEventListener("mouseleave", () => this.hide());
    group.addEventListener("blur", () => this.hide());
    this.groups.set(link.name, group);
    return group;
  }

  update(links, near = "observed", far = "forecast") {
    this.links = links;
    this.near = near;
    this.far = far;
    for (const link of links) {
      const group = this.groups.get(link.name);
      if (!group) continue;
      const [now, soon] = link.up ? [shade(link.observed), shade(link.forecast)] : ["un", "un"];
      // what is as it was is not touched: the browser would draw it again
      const classes = `${now} ${soon}`;
      if (group.dataset.classes !== classes) {
        const [, near, far, arrow] = group.children;
        near.setAttribute("class", `now ${now}`);
        far.setAttribute("class", `soon ${soon}`);
        arrow.setAttribute("class", `arrow ${now}`);
        group.dataset.classes = classes;
      }
      group.setAttribute("aria-label", this.words(link).join(", "));
    }
    if (this.pointed) this.fill(this.pointed);
  }

  words(link) {
    const lines = [`${link.src} to ${link.dst}`];
    if (!link.up) return [...lines, "down"];
    lines.push(`${this.near} ${percent(link.observed)} (${rate(link.rate_bps)})`);
    lines.push(`${this.far} ${percent(link.forecast)}`);
    lines.push(`capacity ${rate(link.capacity_bps)}`);
    return lines;
  }

  fill(name) {
    const link = this.links.find((each) => each.name === name);
    if (!link) return;
    const [title, ...rest] = this.words(link);
    const strong = document.createElement("strong");
    strong.textContent = title;
    const lines = rest.map((line) => {
      const span = document.createElement("span");
      span.textContent = line;
      return span;
    });
    this.tip.replaceChildren(strong, ...lines);
  }

  point(name, [x, y]) {
    this.pointed = name;
    this.fill(name);
    this.tip.hidden = false;
    const { offsetWidth: wide, offsetHeight: high } = this.tip;
    const left = Math.min(Math.max(x + 14, 0), this.width - wide);
    const below = y + 14 + high < this.svg.clientHeight ? y + 14 : y - 14 - high;
    this.tip.style.left = `${left}px`;
    this.tip.style.top = `${Math.max(0, below)}px`;
    this.mark(name);
  }

  hide() {
    this.pointed = null;
    this.tip.hidden = true;
    this.mark(null);
  }

  highlight(name) {
    for (const [each, group] of this.groups) group.classList.toggle("marked", each === name);
  }

  key(event) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") this.hide();
    if (!step) return;
    event.preventDefault();
    const all = [...this.groups.values()];
    const at = all.indexOf(document.activeElement);
    const next = all[(at + step + all.length) % all.length];
    for (const group of all) group.setAttribute("tabindex", group === next ? "0" : "-1");
    next.focus();
  }
}
