// The day as a board: a column for each person or room, an appointment where its time is.

import { change, count, find, make, showMinutes } from "./dom.js";

const FEW = 40; // more changes at once are not animated: they would only flicker
const COLOURS = 6;

export class Calendar {
  #shown = new Map(); // events by id: { event, item, button, column }
  #columns = new Map(); // by key: { key, element, list, head, events }
  #people = new Map();
  #calendars = new Map();
  #byRoom = false;
  #hours = [8, 18];
  #active = null;
  #changed = 0;

  constructor(showRequests) {
    this.board = find("board");
    this.showRequests = showRequests;
    find("by-person").addEventListener("click", () => this.#arrange(false));
    find("by-room").addEventListener("click", () => this.#arrange(true));
    this.board.addEventListener("keydown", (event) => this.#move(event));
    this.board.addEventListener("click", (event) => this.#open(event.target.closest(".event")));
    this.#watchDetails();
    setInterval(() => this.#announce(), 5000);
  }

  start({ events, people, calendars, day }) {
    this.#people = new Map(people.map((one) => [one.id, one]));
    this.#calendars = new Map(calendars.map((one, place) => [one.id, { ...one, colour: place % COLOURS }]));
    this.board.setAttribute("aria-label", `Appointments of ${day}`);
    this.#draw(events);
  }

  follow(events, gone) {
    const known = events.filter((one) => this.#shown.has(one.id));
    for (const id of gone) {
      this.#remove(id);
    }
    const dirty = new Set();
    for (const event of events) {
      this.#put(event, dirty);
    }
    if (this.#fitHours(events)) {
      this.#drawHours();
    }
    this.#lay(dirty);
    if (!this.#active) {
      this.#activateFirst();
    }
    if (events.length <= FEW) {
      this.#flash(events);
    }
    this.#changed += known.length + gone.length;
  }

  #arrange(byRoom) {
    this.#byRoom = byRoom;
    find("by-person").setAttribute("aria-pressed", !byRoom);
    find("by-room").setAttribute("aria-pressed", byRoom);
    this.#draw([...this.#shown.values()].map((one) => one.event));
  }

  #draw(events) {
    this.#shown.clear();
    this.#columns.clear();
    this.#active = null;
    this.#hours = events.length ? [24, 0] : [8, 18];
    this.#fitHours(events);
    this.board.replaceChildren(make("div", { class: "gutter", "aria-hidden": "true" }));
    this.#drawHours();
    const dirty = new Set();
    for (const event of events) {
      this.#put(event, dirty);
    }
    this.#lay(dirty);
    this.#activateFirst();
  }

  #fitHours(events) {
    const [first, last] = this.#hours;
    for (const { start, end } of events) {
      this.#hours = [Math.min(this.#hours[0], Math.floor(start / 60)), Math.max(this.#hours[1], Math.ceil(end / 60))];
    }
    return first !== this.#hours[0] || last !== this.#hours[1];
  }

  #drawHours() {
    const [first, last] = this.#hours;
    this.board.style.setProperty("--first", first);
    this.board.style.setProperty("--hours", last - first);
    const labels = [];
    for (let hour = first; hour <= last; hour += 1) {
      labels.push(make("span", {}, showMinutes(hour * 60)));
      labels.at(-1).style.setProperty("--start", hour * 60);
    }
    this.board.firstChild.replaceChildren(...labels);
  }

  #put(event, dirty) {
    const column = this.#findColumn(event);
    let shown = this.#shown.get(event.id);
    if (!shown) {
      const button = make("button", { type: "button", tabindex: -1, "data-id": event.id });
      button.append(make("time"), make("span", { class: "title" }), make("span", { class: "where" }));
      shown = { button, item: make("li", {}, button), column: null };
      this.#shown.set(event.id, shown);
    }
    if (shown.column && shown.column !== column) {
      shown.column.events.delete(shown);
      dirty.add(shown.column);
    }
    shown.event = event;
    shown.column = column;
    column.events.add(shown);
    dirty.add(column);
    this.#fill(shown);
  }

  #fill({ event, item, button }) {
    const [time, title, where] = button.children;
    const calendar = this.#calendars.get(event.calendar);
    time.textContent = showMinutes(event.start);
    title.textContent = event.title || (event.is_block ? "Blocked" : "(no title)");
    button.className = `event c${calendar?.colour ?? 0} ${event.is_block ? "block" : event.status}`;
    button.classList.toggle("tall", event.end - event.start >= 25);
    where.textContent = this.#byRoom ? this.#namePerson(event) : event.room;
    const [from, to] = [showMinutes(event.start), showMinutes(event.end)];
    button.setAttribute("aria-label", `${title.textContent}, ${from} to ${to}, ${event.status}, ${where.textContent}`);
    button.title = `${title.textContent}\n${from}–${to} · ${event.status}\n${this.#namePerson(event)} · ${event.room}`;
    item.style.setProperty("--start", event.start);
    item.style.setProperty("--length", Math.max(10, event.end - event.start));
  }

  #remove(id) {
    const shown = this.#shown.get(id);
    if (!shown) {
      return;
    }
    this.#shown.delete(id);
    shown.column.events.delete(shown);
    shown.item.remove();
    this.#lay(new Set([shown.column]));
    if (this.#active === shown) {
      this.#activateFirst();
    }
  }

  #namePerson(event) {
    return this.#people.get(event.person)?.name ?? (event.person || "nobody");
  }

  #findColumn(event) {
    const calendar = this.#calendars.get(event.calendar);
    const key = this.#byRoom ? event.room : event.person || event.calendar;
    const known = this.#columns.get(key);
    if (known) {
      return known;
    }
    const name = this.#byRoom ? event.room || "No room" : this.#people.get(key)?.name ?? calendar?.name ?? (key || "Nobody");
    const detail = this.#byRoom ? "" : calendar?.name ?? "";
    const place = [...this.#calendars.keys()].indexOf(event.calendar);
    const order = this.#byRoom ? name : `${String(place + 1).padStart(3, "0")} ${String([...this.#people.keys()].indexOf(key) + 1).padStart(5, "0")}`;
    return this.#addColumn(key, name, detail, order);
  }

  #addColumn(key, name, detail, order) {
    const number = make("span", { class: "quiet" });
    const head = make("h3", {}, make("span", { class: "name" }, name), make("span", { class: "quiet" }, detail), number);
    const list = make("ul", { class: "slots" });
    const element = make("section", { class: "column", "aria-label": name }, head, list);
    const column = { key, order, element, list, number, events: new Set() };
    this.#columns.set(key, column);
    const later = [...this.#columns.values()].filter((one) => one !== column && compare(one.order, order) > 0);
    const next = later.sort((one, other) => compare(one.order, other.order))[0];
    this.board.insertBefore(element, next?.element ?? null);
    return column;
  }

  /** Appointments that overlap share the width of their column; the list is in the order of time. */
  #lay(columns) {
    for (const column of columns) {
      const events = [...column.events].sort((one, other) => one.event.start - other.event.start || (one.event.id < other.event.id ? -1 : 1));
      let group = [];
      let until = -1;
      for (const shown of events) {
        if (shown.event.start >= until) {
          widen(group);
          group = [];
        }
        group.push(shown);
        until = Math.max(until, shown.event.end);
      }
      widen(group);
      events.forEach(({ item }, place) => {
        if (column.list.children[place] !== item) {
          column.list.insertBefore(item, column.list.children[place] ?? null);
        }
      });
      column.number.textContent = count(events.length, "appointment");
      column.element.hidden = events.length === 0;
    }
    this.board.dataset.empty = this.#shown.size ? "" : "true";
  }

  #flash(events) {
    for (const { id } of events) {
      const { button } = this.#shown.get(id);
      button.getAnimations().forEach((one) => one.cancel());
      button.classList.remove("moved");
      void button.offsetWidth; // lets the animation begin again
      button.classList.add("moved");
    }
  }

  #announce() {
    if (this.#changed) {
      find("changes").textContent = `${count(this.#changed, "appointment")} changed`;
      this.#changed = 0;
    }
  }

  #activateFirst() {
    const first = this.board.querySelector(".event");
    this.#active = null;
    if (first) {
      this.#activate(this.#shown.get(first.dataset.id));
    }
  }

  #activate(shown) {
    this.#active?.button.setAttribute("tabindex", -1);
    this.#active = shown;
    shown.button.setAttribute("tabindex", 0);
  }

  #move(event) {
    const step = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] }[event.key];
    if (!step || !this.#active) {
      return;
    }
    event.preventDefault();
    const found = this.#findNext(...step);
    if (found) {
      this.#activate(found);
      found.button.focus();
      found.button.scrollIntoView({ block: "nearest", inline: "nearest" });
    }
  }

  #findNext(across, along) {
    const { column, event, item } = this.#active;
    const find = (element) => this.#shown.get(element?.firstChild?.dataset.id);
    if (along) {
      return find(along > 0 ? item.nextElementSibling : item.previousElementSibling);
    }
    let next = column.element;
    do {
      next = across > 0 ? next.nextElementSibling : next.previousElementSibling;
    } while (next?.hidden);
    const target = [...this.#columns.values()].find((one) => one.element === next);
    const near = [...(target?.events ?? [])];
    return near.sort((one, other) => Math.abs(one.event.start - event.start) - Math.abs(other.event.start - event.start))[0];
  }

  #open(button) {
    const shown = button && this.#shown.get(button.dataset.id);
    if (!shown) {
      return;
    }
    this.#activate(shown);
    const { event } = shown;
    const calendar = this.#calendars.get(event.calendar);
    const fields = { When: `${showMinutes(event.start)}–${showMinutes(event.end)}`, Who: this.#namePerson(event), Room: event.room, Calendar: calendar ? `${calendar.name} (${calendar.zone})` : event.calendar, Status: event.status, Id: event.id };
    find("details-title").textContent = event.title || "(no title)";
    find("details-fields").replaceChildren(...Object.entries(fields).flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value || "–")]));
    find("details").dataset.id = event.id;
    find("details").showModal();
  }

  #watchDetails() {
    const dialog = find("details");
    const edit = async (changes) => {
      dialog.close();
      const error = await change("appointments", { event_id: dialog.dataset.id, changes });
      find("changes").textContent = error;
    };
    find("details-cancel").addEventListener("click", () => edit({ appointment_status: "cancelled" }));
    find("details-delete").addEventListener("click", () => edit({ deleted: true }));
    find("details-requests").addEventListener("click", () => {
      dialog.close();
      this.showRequests(dialog.dataset.id);
    });
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  }
}

const compare = (one, other) => one.localeCompare(other, "en", { numeric: true });

function widen(group) {
  const ends = [];
  for (const shown of group) {
    const free = ends.findIndex((end) => end <= shown.event.start);
    const lane = free < 0 ? ends.length : free;
    ends[lane] = shown.event.end;
    shown.item.style.setProperty("--lane", lane);
  }
  for (const { item } of group) {
    item.style.setProperty("--lanes", ends.length);
    item.classList.toggle("narrow", ends.length > 1);
  }
}
