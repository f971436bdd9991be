// The clock, the faults and the reset.

import { change, fillSelect, find, make } from "./dom.js";

const FAULTS = [
  ["lose-response", "Lose the response", "It is applied, then the connection is cut"],
  ["late 2", "Apply it 2 s late", "The connection is cut at once"],
  ["503", "503", "Nothing is applied"],
  ["503-after-apply", "503, yet applied", "It is applied, then an error follows"],
  ["429 retry-after=2", "429", "To be repeated after 2 s"],
  ["reset", "Cut the connection", "Nothing is applied"],
  ["half-body", "Half a response", "It is applied"],
  ["html 502", "A proxy’s page", "HTML with a 502; nothing is applied"],
  ["stall 3", "3 s slower", "It is applied"],
];

const format = new Intl.DateTimeFormat("en-GB", {
  weekday: "short", day: "numeric", month: "short", year: "numeric",
  hour: "2-digit", minute: "2-digit", second: "2-digit", timeZone: "UTC",
});

/** Ticks by itself between two messages. */
export class Clock {
  #at = 0;
  #since = 0;
  #isRunning = false;

  constructor() {
    setInterval(() => this.#show(), 250);
    for (const button of document.querySelectorAll("[data-seconds]")) {
      button.addEventListener("click", () => change("clock", { seconds: Number(button.dataset.seconds) }));
    }
  }

  set(text, isRunning) {
    this.#at = Date.parse(text);
    this.#since = performance.now();
    this.#isRunning = isRunning;
    this.#show();
  }

  /** It begins with the first request. */
  run() {
    if (!this.#isRunning) {
      this.#since = performance.now();
      this.#isRunning = true;
    }
  }

  #show() {
    const now = new Date(this.#at + (this.#isRunning ? performance.now() - this.#since : 0));
    const text = `${format.format(now)} UTC`;
    const element = find("clock");
    if (this.#at && element.textContent !== text) {
      element.textContent = text;
      element.dateTime = now.toISOString();
    }
  }
}

export class FaultPanel {
  constructor() {
    find("fault-buttons").append(...FAULTS.map(([fault, title, effect]) => this.#makeButton(fault, title, effect)));
    find("clear-faults").addEventListener("click", async () => say((await change("faults", null, "DELETE")) || "No fault is planned."));
  }

  start(operations, planned) {
    const select = find("fault-operation");
    fillSelect(select, operations.map((one) => [one, one]), select.value || "update_appointment");
    this.follow(planned);
  }

  follow(planned) {
    const items = planned.map(({ operation, faults, more }) => {
      const chips = faults.map((one) => make("span", { class: "chip" }, one));
      return make("li", {}, make("code", {}, operation), ...chips, more ? `and ${more} more` : "");
    });
    find("planned").replaceChildren(...items);
    find("clear-faults").disabled = planned.length === 0;
  }

  #makeButton(fault, title, effect) {
    const button = make("button", { type: "button", "data-fault": fault }, make("b", {}, title), make("span", {}, effect));
    button.addEventListener("click", async () => {
      const operation = find("fault-operation").value;
      const error = await change("faults", { operation, faults: [fault] });
      say(error || `Planned for the next ${operation}: ${fault}`);
    });
    return button;
  }
}

function say(text) {
  find("said").textContent = text;
}

export function watchReset() {
  const button = find("reset");
  let timer = 0;
  const calm = () => {
    button.textContent = "Reset the sandbox";
    button.classList.remove("sure");
  };
  button.addEventListener("click", async () => {
    clearTimeout(timer);
    if (!button.classList.contains("sure")) {
      button.classList.add("sure");
      button.textContent = "Press again to reset it";
      timer = setTimeout(calm, 4000);
      return;
    }
    calm();
    say(await change("reset"));
  });
}
