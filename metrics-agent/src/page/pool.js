// One pool: its figures, its heat map, its pods, and what else is known of it.

import { el, setText, setAttribute, number, percent, mean, sum, counted } from "./dom.js";
import { HeatMap } from "./heatmap.js";
import { Pods } from "./pods.js";
import { Gateways, Policy, RollOut, Sheds } from "./cards.js";

const FIGURES = [
  ["ready", "Ready"],
  ["saturation", "Saturation"],
  ["waiting", "Waiting"],
  ["running", "Running"],
  ["kv", "KV cache"],
  ["flight", "In flight"],
  ["rate", "Requests / s"],
];

export class Pool {
  static made = 0;

  constructor(name, id) {
    this.figures = new Map();
    const figures = FIGURES.map(([key, label]) => {
      const value = el("span", { class: "value" });
      const note = el("span", { class: "note" });
      const figure = el("div", { class: "figure" }, el("dt", {}, label), el("dd", {}, value, note));
      this.figures.set(key, { figure, value, note });
      return figure;
    });
    this.heat = new HeatMap(id);
    this.pods = new Pods(id);
    this.cards = [new Gateways(id), new Policy(id), new RollOut(id), new Sheds(id)];
    this.root = el(
      "section",
      { id, class: "pool", "aria-labelledby": `${id}-title` },
      el("h2", { id: `${id}-title` }, el("span", { class: "quiet" }, "Pool "), name),
      el("dl", { class: "figures" }, ...figures),
      this.heat.root,
      this.pods.root,
      el("div", { class: "cards" }, ...this.cards.map((card) => card.root)),
    );
  }

  update(state, status, whole) {
    const { pods } = state;
    const ready = pods.filter((pod) => pod.state === "ready").length;
    const busiest = (key) => Math.max(0, ...pods.map((pod) => pod[key] ?? 0));
    this.figure("ready", `${ready}`, `of ${counted(pods.length, "pod")}`, ready < pods.length);
    this.figure("saturation", percent(state.saturation), state.saturation >= 1 ? "saturated" : "mean of pods", state.saturation >= 1);
    this.figure("waiting", number(sum(pods.map((pod) => pod.waiting))), `most ${number(busiest("waiting"))}`);
    this.figure("running", number(sum(pods.map((pod) => pod.running))), `most ${number(busiest("running"))}`);
    this.figure("kv", percent(mean(pods.map((pod) => pod.kv_usage))), `most ${percent(busiest("kv_usage"))}`);
    this.figure("flight", number(sum(pods.map((pod) => pod.in_flight))), `from ${counted(state.gateways.length, "gateway")}`);
    this.figure("rate", number(state.requests_per_second), "last minute");
    this.heat.update(pods, status, whole);
    this.pods.update(pods);
    for (const card of this.cards) card.update(state);
  }

  figure(key, value, note, alarming = false) {
    const parts = this.figures.get(key);
    setText(parts.value, value);
    setText(parts.note, note);
    setAttribute(parts.figure, "data-alarming", String(alarming));
  }
}
