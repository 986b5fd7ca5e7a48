// The table of pods: the latest of everything as numbers. Long pools show the first rows only, sorted
// so that these are the ones that matter, until somebody asks for all.

import { el, setText, setAttribute, number, percent, age, counted } from "./dom.js";

const FIRST = 20;

/** Shape and word, so that no state is told by colour alone. */
const STATES = {
  ready: ["●", "ready"],
  draining: ["◐", "draining"],
  suspect: ["▲", "suspect"],
  pending: ["○", "pending"],
};
const RANK = { suspect: 3, pending: 2, draining: 1, ready: 0 };

const COLUMNS = [
  { key: "name", label: "Pod", sort: (pod) => pod.name, ascending: true },
  { key: "state", label: "State", sort: (pod) => RANK[pod.state] ?? 4 },
  { key: "saturation", label: "Load", number: true, bar: true, text: (pod) => percent(pod.saturation), part: (pod) => pod.saturation },
  { key: "waiting", label: "Waiting", number: true, text: (pod) => number(pod.waiting) },
  { key: "running", label: "Running", number: true, text: (pod) => number(pod.running) },
  { key: "kv_usage", label: "KV cache", number: true, bar: true, text: (pod) => percent(pod.kv_usage), part: (pod) => pod.kv_usage },
  { key: "in_flight", label: "In flight", number: true, text: (pod) => number(pod.in_flight) },
  { key: "share", label: "Traffic", number: true, bar: true, text: (pod) => percent(pod.share), part: (pod, most) => (most ? pod.share / most : null) },
  { key: "prefix_hits", label: "Prefix hits", number: true, text: (pod) => percent(pod.prefix_hits) },
  { key: "age_ms", label: "Signals", number: true, text: (pod) => age(pod.age_ms) },
];

export class Pods {
  constructor(id) {
    this.rows = new Map();
    this.sort = { key: "saturation", direction: -1 };
    this.all = false;
    this.filter = "";
    this.pods = [];
    this.heads = new Map(COLUMNS.map((column) => [column.key, this.head(column)]));
    this.body = el("tbody");
    this.more = el("button", { type: "button", class: "more" });
    this.more.addEventListener("click", () => {
      this.all = !this.all;
      this.render();
    });
    const input = el("input", { type: "search", id: `${id}-filter`, placeholder: "name or state", autocomplete: "off" });
    input.addEventListener("input", () => {
      this.filter = input.value.trim().toLowerCase();
      this.render();
    });
    this.count = el("span", { class: "quiet", role: "status" });
    this.root = el(
      "section",
      { class: "pods", "aria-labelledby": `${id}-pods` },
      el("div", { class: "bar" }, el("h3", { id: `${id}-pods` }, "Pods"), this.count, el("label", { for: `${id}-filter` }, "Filter ", input)),
      el(
        "div",
        { class: "scroll", tabindex: "0", role: "group", "aria-label": "Table of pods" },
        el("table", {}, el("thead", {}, el("tr", {}, ...this.heads.values())), this.body),
      ),
      this.more,
    );
  }

  head(column) {
    const button = el("button", { type: "button" }, column.label);
    button.addEventListener("click", () => {
      const first = column.ascending ? 1 : -1;
      const same = this.sort.key === column.key;
      this.sort = { key: column.key, direction: same ? -this.sort.direction : first };
      this.render();
    });
    return el("th", { scope: "col", class: column.number ? "number" : false }, button);
  }

  update(pods) {
    this.pods = pods;
    this.render();
  }

  render() {
    const { key, direction } = this.sort;
    const column = COLUMNS.find((each) => each.key === key);
    const value = column.sort ?? ((pod) => pod[key] ?? -1);
    for (const [name, head] of this.heads) {
      setAttribute(head, "aria-sort", name === key ? (direction > 0 ? "ascending" : "descending") : "none");
    }
    const { filter } = this;
    const matching = this.pods.filter((pod) => !filter || `${pod.name} ${pod.address} ${pod.state}`.toLowerCase().includes(filter));
    const names = new Intl.Collator("en", { numeric: true });
    const compare = (a, b) => (typeof a === "string" ? names.compare(a, b) : a - b);
    matching.sort((a, b) => direction * compare(value(a), value(b)) || names.compare(a.name, b.name));
    const shown = this.all ? matching : matching.slice(0, FIRST);
    setText(this.count, filter ? `${matching.length} of ${counted(this.pods.length, "pod")}` : counted(this.pods.length, "pod"));
    setText(this.more, this.all ? `Show the first ${FIRST}` : `Show all ${matching.length}`);
    this.more.hidden = matching.length <= FIRST;

    const most = Math.max(0, ...this.pods.map((pod) => pod.share ?? 0));
    const kept = new Map();
    let place = this.body.firstElementChild;
    for (const pod of shown) {
      const row = this.rows.get(pod.address) ?? makeRow(pod);
      kept.set(pod.address, row);
      fill(row, pod, most);
      if (row.root === place) place = place.nextElementSibling;
      else this.body.insertBefore(row.root, place);
    }
    for (const [address, row] of this.rows) if (!kept.has(address)) row.root.remove();
    this.rows = kept;
  }
}

function makeRow(pod) {
  const name = el("span", { class: "name" });
  const address = el("span", { class: "quiet" });
  const shape = el("span", { class: "shape", "aria-hidden": "true" });
  const state = el("span");
  const why = el("span", { class: "quiet" });
  const cells = new Map();
  const numbers = COLUMNS.filter((column) => column.number).map((column) => {
    const text = el("span");
    const bar = column.bar ? el("span", { class: "meter", "aria-hidden": "true" }, el("span")) : null;
    cells.set(column, { text, fill: bar?.firstChild });
    return el("td", { class: "number" }, ...(bar ? [bar] : []), text);
  });
  const root = el("tr", {}, el("th", { scope: "row" }, name, address), el("td", { class: "state" }, shape, state, why), ...numbers);
  return { root, name, address, shape, state, why, cells };
}

function fill(row, pod, most) {
  const [shape, word] = STATES[pod.state] ?? ["?", pod.state];
  setText(row.name, pod.name);
  setText(row.address, pod.name === pod.address ? "" : pod.address);
  setText(row.shape, shape);
  setText(row.state, pod.held ? "waits for adapters" : word);
  setText(row.why, pod.state === "ready" ? "" : pod.reason);
  setAttribute(row.root, "data-state", pod.state);
  for (const [column, cell] of row.cells) {
    setText(cell.text, column.text(pod));
    if (!cell.fill) continue;
    const part = column.part(pod, most);
    cell.fill.style.inlineSize = `${Math.round(100 * Math.min(part ?? 0, 1))}%`;
    setAttribute(cell.fill, "data-over", String(part >= 1 && column.key === "saturation"));
  }
}
