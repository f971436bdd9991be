// Small helpers. Everything that comes from the sandbox becomes text, never markup.

export const find = (id) => document.getElementById(id);

/** An element with attributes and children; strings become text nodes. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value);
    }
  }
  element.append(...children);
  return element;
}

export function fillSelect(select, options, chosen) {
  select.replaceChildren(...options.map(([value, text]) => make("option", { value }, text)));
  select.value = chosen;
}

/** Ask an admin route to change something; returns its error, or an empty text. */
export async function change(route, body, method = "POST") {
  try {
    const headers = { "X-Sandbox-Admin": "page", "Content-Type": "application/json" };
    const response = await fetch(`/_sandbox/${route}`, { method, headers, body: JSON.stringify(body ?? {}) });
    return response.ok ? "" : ((await response.json()).error ?? `HTTP ${response.status}`);
  } catch {
    return "The sandbox cannot be reached.";
  }
}

export const twoDigits = (number) => String(number).padStart(2, "0");

/** Minutes from midnight as a time of day. */
export function showMinutes(minutes) {
  const inDay = ((minutes % 1440) + 1440) % 1440;
  return `${twoDigits(Math.floor(inDay / 60))}:${twoDigits(inDay % 60)}`;
}

const number = new Intl.NumberFormat("en");
export const showNumber = (value) => number.format(value);

export function count(value, one, many = `${one}s`) {
  return `${showNumber(value)} ${value === 1 ? one : many}`;
}

const dayFormat = new Intl.DateTimeFormat("en-GB", { weekday: "long", day: "numeric", month: "long", year: "numeric", timeZone: "UTC" });
const shortFormat = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short", timeZone: "UTC" });
export const showDay = (day) => dayFormat.format(new Date(`${day}T00:00:00Z`));
export const showShortDay = (day) => shortFormat.format(new Date(`${day}T00:00:00Z`));
