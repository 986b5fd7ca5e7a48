// The load of every pod over the last minutes: a row a pod, a column five seconds.
//
// A cell is one pixel of a small canvas that the browser scales up, so that 500 pods cost as little as
// five. Colour never stands alone: what is saturated has a mark beside it where rows are tall enough to
// have labels, the readout says every cell in words, and the table below has the latest column as numbers.

import { el, setText, percent, span, counted, sharedLength } from "./dom.js";

const UNKNOWN = -1;
const SATURATED = 20;
/** Most rows that have a label, and most rows of a block beyond that. */
const LABELLED = 40;
const BLOCK = 125;

const level = (character) => (character === "-" || character === undefined ? UNKNOWN : parseInt(character, 36));

const scheme = matchMedia("(prefers-color-scheme: dark)");

/** Colours by level, the last one for unknown. */
function palette() {
  const style = getComputedStyle(document.documentElement);
  const stops = ["--heat-idle", "--heat-half", "--heat-full", "--heat-over", "--heat-most"].map((name) => rgb(style.getPropertyValue(name)));
  const places = [0, 10, 19, 20, 35];
  const colours = [];
  for (let at = 0; at <= 35; at++) {
    const next = places.findIndex((place) => place >= at);
    const from = Math.max(0, next - 1);
    const share = next === 0 ? 0 : (at - places[from]) / (places[next] - places[from]);
    colours.push(stops[from].map((channel, index) => Math.round(channel + share * (stops[next][index] - channel))));
  }
  colours[UNKNOWN] = rgb(style.getPropertyValue("--heat-unknown"));
  return colours;
}

const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.trim().slice(at, at + 2), 16));

export class HeatMap {
  constructor(id) {
    this.id = id;
    this.traces = new Map();
    this.blocks = [];
    this.key = "";
    this.columns = 120;
    this.seconds = 5;
    this.bucket = 0;
    this.cursor = null;
    this.plot = el("div", { class: "plot" });
    this.readout = el("p", { class: "readout", id: `${id}-readout`, "aria-live": "polite" });
    this.title = el("h3", { id: `${id}-heat` }, "Load, last 10 minutes");
    this.root = el(
      "section",
      { class: "heat", "aria-labelledby": `${id}-heat` },
      el("div", { class: "bar" }, this.title, legend()),
      this.plot,
      this.readout,
    );
    this.say();
    scheme.addEventListener("change", () => this.paint());
  }

  update(pods, status, whole) {
    this.columns = status.buckets;
    this.seconds = status.bucket_seconds;
    const moved = whole ? this.columns : status.bucket - this.bucket;
    this.bucket = status.bucket;
    const traces = new Map();
    for (const pod of pods) {
      let trace = this.traces.get(pod.address);
      if (!trace || whole) {
        trace = new Int8Array(this.columns).fill(UNKNOWN);
        const start = this.columns - pod.load.length;
        for (let at = 0; at < pod.load.length; at++) trace[start + at] = level(pod.load[at]);
      } else {
        if (moved > 0) trace.copyWithin(0, moved).fill(UNKNOWN, this.columns - moved);
        trace[this.columns - 1] = level(pod.load.at(-1));
      }
      traces.set(pod.address, trace);
    }
    this.traces = traces;
    const key = pods.map((pod) => `${pod.address} ${pod.name}`).join("\n");
    if (key !== this.key) {
      this.key = key;
      this.lay(pods);
    }
    this.pods = pods;
    this.paint(moved === 0);
    this.mark();
    if (this.cursor) this.say();
  }

  /** Makes the canvases for these pods. */
  lay(pods) {
    const labelled = pods.length <= LABELLED;
    this.plot.dataset.form = labelled ? "labelled" : "dense";
    this.cursor = null;
    this.blocks = [];
    for (let start = 0; start < pods.length; start += labelled ? pods.length : BLOCK) {
      this.blocks.push(this.block(pods.slice(start, labelled ? undefined : start + BLOCK), start, labelled));
    }
    this.plot.replaceChildren(...this.blocks.map((block) => block.root));
  }

  block(pods, start, labelled) {
    const canvas = el("canvas", {
      width: this.columns,
      height: pods.length,
      tabindex: "0",
      role: "img",
      "aria-describedby": `${this.id}-readout`,
    });
    const block = { canvas, start, rows: pods.length, context: canvas.getContext("2d", { alpha: false }), marks: [] };
    canvas.addEventListener("pointermove", (event) => this.point(block, event));
    canvas.addEventListener("pointerleave", () => this.leave());
    canvas.addEventListener("blur", () => this.leave());
    canvas.addEventListener("keydown", (event) => this.walk(block, event));
    const frame = el("div", { class: "frame" }, canvas);
    frame.style.setProperty("--rows", pods.length);
    const parts = [frame];
    if (labelled) {
      // Where there is no room for all of a name, what tells it from the others stays.
      const shared = pods.length > 1 ? sharedLength(pods.map((pod) => pod.name)) : 0;
      const labels = pods.map(({ name }) => {
        const mark = el("span", { class: "mark" });
        block.marks.push(mark);
        const parts = [el("span", { class: "head" }, name.slice(0, shared)), el("span", { class: "tail" }, name.slice(shared))];
        return el("li", {}, el("span", { class: "name", title: name }, ...parts), mark);
      });
      parts.unshift(el("ol", { class: "labels", "aria-hidden": "true" }, ...labels));
    }
    const minutes = Math.round((this.columns * this.seconds) / 60);
    const range = labelled ? "" : `Pods ${start + 1} to ${start + pods.length}`;
    const axis = el("p", { class: "axis", "aria-hidden": "true" }, el("span", {}, `${minutes} min ago`), el("span", {}, range), el("span", {}, "now"));
    block.root = el("div", { class: "block" }, ...parts, axis);
    return block;
  }

  paint(onlyLast = false) {
    const colours = palette();
    const rows = [...this.traces.values()];
    const from = onlyLast && this.painted === this.key ? this.columns - 1 : 0;
    this.painted = this.key;
    for (const block of this.blocks) {
      const image = block.context.createImageData(this.columns - from, block.rows);
      for (let row = 0; row < block.rows; row++) {
        for (let column = from; column < this.columns; column++) {
          const colour = colours[rows[block.start + row][column]];
          const pixel = 4 * (row * (this.columns - from) + column - from);
          image.data[pixel] = colour[0];
          image.data[pixel + 1] = colour[1];
          image.data[pixel + 2] = colour[2];
          image.data[pixel + 3] = 255;
        }
      }
      block.context.putImageData(image, from, 0);
    }
  }

  /** Says in words and marks what the latest column shows in colours. */
  mark() {
    const over = this.pods.filter((pod) => pod.saturation >= 1).length;
    const unknown = this.pods.filter((pod) => pod.saturation == null).length;
    for (const block of this.blocks) {
      block.canvas.setAttribute(
        "aria-label",
        `Load of ${counted(block.rows, "pod")} over the last minutes. Of all ${this.pods.length}, ${over} saturated and ${unknown} unknown now. Arrow keys read single cells.`,
      );
      block.marks.forEach((mark, row) => {
        const { saturation } = this.pods[block.start + row];
        setText(mark, saturation == null ? "?" : saturation >= 1 ? "▲" : "");
      });
    }
  }

  point(block, event) {
    const box = block.canvas.getBoundingClientRect();
    const row = Math.floor(((event.clientY - box.top) / box.height) * block.rows);
    const column = Math.floor(((event.clientX - box.left) / box.width) * this.columns);
    this.move(block, row, column);
  }

  walk(block, event) {
    const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], Home: [0, -this.columns], End: [0, this.columns] };
    const step = steps[event.key];
    if (event.key === "Escape") this.leave();
    if (!step) return;
    event.preventDefault();
    const here = this.cursor?.block === block ? this.cursor : { row: 0, column: this.columns - 1 };
    const first = this.cursor?.block !== block;
    this.move(block, here.row + (first ? 0 : step[0]), here.column + (first ? 0 : step[1]));
  }

  move(block, row, column) {
    const within = (value, end) => Math.min(Math.max(value, 0), end - 1);
    this.cursor = { block, row: within(row, block.rows), column: within(column, this.columns) };
    this.say();
  }

  leave() {
    this.cursor = null;
    this.say();
  }

  say() {
    const { cursor } = this;
    for (const block of this.blocks) block.root.querySelector(".frame").removeAttribute("data-cursor");
    if (!cursor) {
      setText(this.readout, "Point at a cell, or walk over the map with the arrow keys.");
      return;
    }
    const { block, row, column } = cursor;
    const pod = this.pods[block.start + row];
    const load = this.traces.get(pod.address)[column];
    const ago = (this.columns - 1 - column) * this.seconds;
    const said = load === UNKNOWN ? "unknown" : `${percent(load / SATURATED)} of saturation`;
    setText(this.readout, `${pod.name}, ${ago === 0 ? "now" : `${span(ago)} ago`}: ${said}`);
    const frame = block.root.querySelector(".frame");
    frame.dataset.cursor = "";
    frame.style.setProperty("--row", row);
    frame.style.setProperty("--column", column);
    frame.style.setProperty("--columns", this.columns);
  }
}

function legend() {
  const step = (name, text) => el("li", {}, el("span", { class: "swatch", "data-heat": name, "aria-hidden": "true" }), text);
  return el(
    "ul",
    { class: "legend", "aria-label": "Colours: the greater of queue / 5 and KV cache / 80 %" },
    step("idle", "0 %"),
    step("half", "50 %"),
    step("full", "95 %"),
    step("over", "100 % saturated ▲"),
    step("most", "175 %"),
    step("unknown", "unknown ?"),
  );
}
