// The requests, newest first, with filters.

import { count, fillSelect, find, make, showNumber } from "./dom.js";

const KEPT = 1000;
const SHOWN = 100;

const RESULTS = {
  changed: (one) => one.applied,
  ok: ({ status }) => status >= 200 && status < 300,
  limited: ({ status }) => status === 429,
  refused: ({ status }) => status >= 400 && status < 500 && status !== 429,
  failed: ({ status }) => status >= 500,
  lost: ({ status }) => status === null,
  fault: ({ fault }) => fault !== null,
};

export class Log {
  #kept = [];
  #total = 0;
  #location = "";
  #list = find("log");
  #isHeld = false;
  #isStale = false;

  constructor() {
    for (const id of ["log-text", "log-result", "log-operation", "log-here"]) {
      find(id).addEventListener("input", () => this.#showAll());
    }
    find("log-filters").addEventListener("submit", (event) => event.preventDefault());
    find("log-hold").addEventListener("click", () => this.#hold(!this.#isHeld));
  }

  start({ location, operations, requests, total }) {
    this.#location = location;
    const chosen = find("log-operation").value;
    fillSelect(find("log-operation"), [["", "Every operation"], ...operations.map((one) => [one, one])], chosen);
    this.#kept = requests.reverse();
    this.#total = total;
    this.#showAll();
  }

  follow(requests, total) {
    this.#total = total;
    this.#kept.unshift(...requests.reverse());
    this.#kept.length = Math.min(this.#kept.length, KEPT);
    if (this.#isHeld) {
      this.#isStale = true;
    } else {
      this.#prepend(requests);
    }
    this.#count();
  }

  /** Show what contains a text, wherever it comes from. */
  search(text) {
    find("log-text").value = text;
    find("log-result").value = find("log-operation").value = "";
    find("log-here").checked = false;
    this.#showAll();
    find("log-text").focus();
    find("log-title").scrollIntoView({ block: "start" });
  }

  #hold(isHeld) {
    this.#isHeld = isHeld;
    find("log-hold").setAttribute("aria-pressed", isHeld);
    if (!isHeld && this.#isStale) {
      this.#showAll();
    }
    this.#count();
  }

  #makeFilter() {
    const text = find("log-text").value.trim().toLowerCase();
    const operation = find("log-operation").value;
    const matches = RESULTS[find("log-result").value] ?? (() => true);
    const isHere = find("log-here").checked;
    return (one) =>
      matches(one) &&
      (!operation || one.operation === operation) &&
      (!isHere || one.location_id === this.#location) &&
      (!text || `${one.title}\n${one.event_id}\n${one.path}?${one.query}\n${one.body}`.toLowerCase().includes(text));
  }

  #showAll() {
    this.#isStale = false;
    const found = this.#kept.filter(this.#makeFilter());
    this.#list.replaceChildren(...found.slice(0, SHOWN).map(makeRow));
    this.#count();
  }

  #prepend(requests) {
    const rows = requests.filter(this.#makeFilter()).slice(0, SHOWN).map(makeRow);
    this.#list.prepend(...rows);
    while (this.#list.children.length > SHOWN) {
      this.#list.lastChild.remove();
    }
  }

  #count() {
    const shown = this.#list.children.length;
    const held = this.#isHeld ? ", held" : "";
    find("log-count").textContent = `${showNumber(shown)} shown of ${count(this.#total, "request")}${held}`;
  }
}

function makeRow(one) {
  const result = one.status === null ? "none" : String(one.status);
  const status = make("b", { class: "status", "data-kind": result[0] }, one.status === null ? "lost" : result);
  const what = make("span", { class: "what" }, make("span", { class: "operation" }, one.operation ?? `${one.method} ${one.path}`));
  if (one.title !== null) {
    what.append(make("span", { class: "quiet" }, one.title || "(no title)"));
  }
  const notes = make("span", { class: "notes" });
  if (one.fault) {
    notes.append(make("span", { class: "chip fault" }, one.fault));
  }
  if (one.applied) {
    notes.append(make("span", { class: "chip" }, "applied"));
  }
  const at = make("time", { datetime: one.at }, one.at.slice(11, 23).replace("Z", "").padEnd(12, one.at.includes(".") ? "0" : " "));
  const row = make("details", {}, make("summary", {}, at, status, what, notes));
  row.addEventListener("toggle", () => row.open && row.children.length === 1 && row.append(makeBody(one)), { once: true });
  return make("li", {}, row);
}

function makeBody(one) {
  const lines = [`${one.method} ${one.path}${one.query ? `?${one.query}` : ""}`, one.body].filter(Boolean);
  return make("pre", { tabindex: 0 }, lines.join("\n\n"));
}
