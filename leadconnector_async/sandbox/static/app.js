// Opens the stream, keeps what it says, and hands it to the parts of the page.

import { Calendar } from "./calendar.js";
import { Clock, FaultPanel, watchReset } from "./controls.js";
import { fillSelect, find, showDay, showShortDay, showNumber, make } from "./dom.js";
import { LimitPanel } from "./limits.js";
import { Log } from "./log.js";

const wanted = { location: "", day: "", zone: "" };
const days = new Map();
const clock = new Clock();
const log = new Log();
const limits = new LimitPanel();
const faults = new FaultPanel();
const calendar = new Calendar((id) => log.search(id));
let stream = null;
let retry = 0;

function open() {
  clearTimeout(retry);
  stream?.close();
  const query = new URLSearchParams(Object.entries(wanted).filter(([, value]) => value));
  stream = new EventSource(`/_sandbox/live?${query}`);
  stream.onmessage = (event) => receive(JSON.parse(event.data));
  stream.onerror = lose;
}

/** The browser tries again by itself unless it was refused: then the sandbox is another one, or wants its token. */
function lose() {
  say("lost", "Disconnected");
  if (stream.readyState === EventSource.CLOSED) {
    Object.assign(wanted, { location: "", day: "", zone: "" });
    retry = setTimeout(open, 2000);
  }
}

function say(state, text) {
  const line = find("connection");
  if (line.dataset.state !== state) {
    line.dataset.state = state;
    line.textContent = text;
  }
}

function receive(message) {
  say("live", "Live");
  if (message.type === "everything") {
    start(message);
  } else {
    follow(message);
  }
}

function start(message) {
  Object.assign(wanted, { location: message.location, day: message.day, zone: message.zone });
  const names = new Map(message.locations.map((one) => [one.id, one.name || one.id]));
  fillSelect(find("location"), [...names], message.location);
  const zones = [...new Set(message.calendars.map((one) => one.zone)), "UTC"];
  const options = [["own", "Each calendar’s own time"], ...zones.map((one) => [one, one.replaceAll("_", " ")])];
  fillSelect(find("zone"), options, message.zone);
  find("day").value = message.day;
  find("day-title").textContent = showDay(message.day);
  days.clear();
  countDays(message.days);
  calendar.start(message);
  log.start(message);
  limits.start(names, message.limits);
  faults.start(message.operations, message.faults);
  clock.set(message.clock, message.is_running);
}

function follow(message) {
  if (message.events || message.gone) {
    calendar.follow(message.events ?? [], message.gone ?? []);
  }
  if (message.days) {
    countDays(message.days);
  }
  if (message.total !== undefined) {
    log.follow(message.requests ?? [], message.total);
    clock.run();
  }
  if (message.limits) {
    limits.follow(message.limits);
  }
  if (message.faults !== undefined) {
    faults.follow(message.faults);
  }
  if (message.clock) {
    clock.set(message.clock, true);
  }
}

/** Days with appointments as a row of bars: a plan that moves a day empties one of them and fills another. */
function countDays(changed) {
  for (const [day, number] of Object.entries(changed)) {
    days.set(day, number);
  }
  const most = Math.max(1, ...days.values());
  const shown = [...days].filter(([day, number]) => number > 0 || day === wanted.day).sort();
  const list = find("days");
  const known = new Map([...list.children].map((one) => [one.dataset.day, one]));
  const items = shown.slice(0, 60).map(([day, number]) => showDayOf(known.get(day), day, number, number / most));
  if (items.length !== list.children.length || items.some((one, place) => one !== list.children[place])) {
    list.replaceChildren(...items);
  }
}

function showDayOf(known, day, number, share) {
  const item = known ?? makeDay(day);
  const button = item.firstChild;
  button.setAttribute("aria-label", `${showShortDay(day)}, ${showNumber(number)} appointments`);
  button.setAttribute("aria-current", day === wanted.day ? "date" : "false");
  button.querySelector(".number").textContent = showNumber(number);
  button.querySelector(".bar").style.setProperty("--share", share.toFixed(3));
  return item;
}

function makeDay(day) {
  const bar = make("span", { class: "bar" });
  const button = make("button", { type: "button" }, make("span", {}, showShortDay(day)), make("b", { class: "number" }), bar);
  button.addEventListener("click", () => choose({ day }));
  return make("li", { "data-day": day }, button);
}

function choose(changed) {
  Object.assign(wanted, changed);
  open();
}

function step(by) {
  const day = new Date(`${wanted.day}T00:00:00Z`);
  day.setUTCDate(day.getUTCDate() + by);
  choose({ day: day.toISOString().slice(0, 10) });
}

find("location").addEventListener("change", (event) => choose({ location: event.target.value, day: "" }));
find("zone").addEventListener("change", (event) => choose({ zone: event.target.value }));
find("day").addEventListener("change", (event) => event.target.value && choose({ day: event.target.value }));
find("day-before").addEventListener("click", () => step(-1));
find("day-after").addEventListener("click", () => step(1));
watchReset();
history.replaceState(null, "", "/"); // a token behind "#" was for signing in
open();
