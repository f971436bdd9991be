// The limit of each location as it fills, and the time until there is room again.

import { find, make, showNumber } from "./dom.js";

const SAMPLES = 60;
const MOST_DRAWN = 40;
const SVG = "http://www.w3.org/2000/svg";

export class LimitPanel {
  #rows = new Map();
  #names = new Map();

  constructor() {
    setInterval(() => this.#sample(), 1000);
  }

  start(names, usages) {
    this.#names = names;
    this.#rows.clear();
    find("limits").replaceChildren();
    this.follow(usages);
  }

  follow(usages) {
    for (const usage of usages) {
      const key = `${usage.location_id} ${usage.app ?? ""}`;
      if (!this.#rows.has(key)) {
        this.#rows.set(key, this.#add(usage));
      }
      const row = this.#rows.get(key);
      row.usage = usage;
      show(row);
    }
  }

  #add(usage) {
    const name = (this.#names.get(usage.location_id) ?? usage.location_id) + (usage.app ? ` · ${usage.app}` : "");
    const bar = make("div", { class: "fill" });
    const meter = make("div", { class: "meter", role: "meter", "aria-label": `Requests of ${name}`, "aria-valuemin": 0 }, bar);
    const text = make("span", { class: "quiet" });
    const state = make("b", { class: "state" });
    const day = make("span", { class: "quiet" });
    const svg = document.createElementNS(SVG, "svg");
    const path = document.createElementNS(SVG, "path");
    svg.setAttribute("viewBox", `0 0 ${SAMPLES - 1} 20`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    svg.append(path);
    const item = make("li", {}, make("span", { class: "name" }, name), state, meter, svg, text, day);
    find("limits").append(item);
    return { usage, item, bar, meter, text, state, day, path, samples: Array(SAMPLES).fill(0), peak: 0 };
  }

  #sample() {
    for (const row of [...this.#rows.values()].slice(0, MOST_DRAWN)) {
      row.samples.shift();
      row.samples.push(row.peak);
      row.peak = getShare(row.usage);
      const points = row.samples.map((share, second) => `${second} ${(20 - share * 19).toFixed(1)}`);
      row.path.setAttribute("d", `M0 20 L${points.join(" L")} L${SAMPLES - 1} 20 Z`);
    }
  }
}

const getShare = (usage) => (usage.most ? Math.min(1, usage.used / usage.most) : 1);

function show(row) {
  const { used, most, interval, today, daily, wait_seconds: wait } = row.usage;
  const share = getShare(row.usage);
  row.peak = Math.max(row.peak, share);
  row.item.dataset.state = wait > 0 ? "full" : share > 0.8 ? "high" : "free";
  row.bar.style.setProperty("--share", share.toFixed(3));
  row.meter.setAttribute("aria-valuemax", most);
  row.meter.setAttribute("aria-valuenow", Math.min(used, most));
  row.state.textContent = wait > 0 ? `Full for ${showWait(wait)}` : "";
  row.text.textContent = `${showNumber(used)} of ${showNumber(most)} in ${showNumber(interval)} s`;
  row.day.textContent = `${showNumber(today)} of ${showNumber(daily)} today`;
}

function showWait(seconds) {
  return seconds < 100 ? `${seconds.toFixed(1)} s` : seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}
