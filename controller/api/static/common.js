// What every part of the page uses: asking the API, making elements, tables.

const API = "api/v1";

export const $ = (id) => document.getElementById(id);
export const me = { name: "", role: null, by: "nothing", csrf: "" };

export async function ask(path, method = "GET", body = undefined) {
  const headers = { accept: "application/json" };
  if (body !== undefined) headers["content-type"] = "application/json";
  if (me.csrf) headers["x-csrf-token"] = me.csrf;
  const answer = await fetch(`${API}/${path}`, { method, headers, body: body && JSON.stringify(body) });
  const found = answer.status === 204 ? null : await answer.json().catch(() => null);
  if (!answer.ok) {
    const error = new Error(found?.detail ?? `${path}: ${answer.status}`);
    error.status = answer.status;
    throw error;
  }
  return found;
}

export function follow() {
  return new EventSource(`${API}/stream`);
}

export function text(id, value) {
  const shown = $(id);
  if (shown.textContent !== String(value)) shown.textContent = value;
}

export function element(tag, content = "", className = "") {
  const made = document.createElement(tag);
  made.textContent = content;
  if (className) made.className = className;
  return made;
}

export function button(words, label, data = {}) {
  const made = element("button", words);
  made.type = "button";
  made.setAttribute("aria-label", label);
  Object.assign(made.dataset, data);
  return made;
}

// rows: [[cell, …], …], the first of each is its heading
export function table(body, rows, empty, columns) {
  if (!rows.length) {
    const cell = element("td", empty, "soft");
    cell.colSpan = columns;
    const row = document.createElement("tr");
    row.append(cell);
    body.replaceChildren(row);
    return;
  }
  body.replaceChildren(...rows.map((cells) => {
    const row = document.createElement("tr");
    cells.forEach((cell, at) => {
      const made = element(at ? "td" : "th");
      if (!at) made.scope = "row";
      made.append(cell ?? "–");
      row.append(made);
    });
    return row;
  }));
}

export function span(seconds) {
  const whole = Math.round(Math.abs(seconds));
  if (whole < 120) return `${whole} s`;
  if (whole < 7200) return `${Math.round(whole / 60)} min`;
  if (whole < 172800) return `${(whole / 3600).toFixed(1)} h`;
  return `${(whole / 86400).toFixed(1)} d`;
}

export function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString();
}

export function tell(name, detail) {
  document.dispatchEvent(new CustomEvent(name, { detail }));
}

export function hear(name, run) {
  document.addEventListener(name, (event) => run(event.detail));
}
