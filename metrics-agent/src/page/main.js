// The page as a whole: what is not of one pool.

import { el, setText, setAttribute, counted, span } from "./dom.js";
import { follow } from "./live.js";
import { Pool } from "./pool.js";

const STATES = {
  connecting: "Connecting",
  live: "Live",
  lost: "No answer from the agent. What you see is old.",
};

const at = (id) => document.getElementById(id);
const pools = new Map();

function onState(state) {
  setAttribute(at("live"), "data-state", state);
  setText(at("live-text"), STATES[state]);
}

function onStatus(status, whole) {
  setText(at("agent"), status.agent);
  setText(at("about"), `Version ${status.version}, up for ${span(status.uptime_s)}.`);
  document.title = `${status.agent || "agent"} · zerohop`;
  problems(status.problems);

  const main = at("pools");
  const names = new Set(status.pools.map((pool) => pool.name));
  for (const [name, pool] of pools) {
    if (names.has(name)) continue;
    pool.root.remove();
    pools.delete(name);
  }
  status.pools.forEach((state, index) => {
    let pool = pools.get(state.name);
    if (!pool) {
      pool = new Pool(state.name, `pool-${++Pool.made}`);
      pools.set(state.name, pool);
      main.insertBefore(pool.root, main.children[index] ?? null);
    }
    pool.update(state, status, whole);
  });
  empty(main, status.pools.length === 0);
  links(status.pools);
  setAttribute(main, "aria-busy", "false");
  if (performance.getEntriesByName("drawn").length === 0) requestAnimationFrame(() => setTimeout(() => performance.mark("drawn")));
}

function problems(lines) {
  const box = at("problems");
  const text = lines.join("\n");
  if (box.dataset.text === text) return;
  box.dataset.text = text;
  box.replaceChildren();
  if (lines.length === 0) return;
  box.append(el("p", {}, el("strong", {}, "Not ready. ")), el("ul", {}, ...lines.map((line) => el("li", {}, line))));
}

function empty(main, isEmpty) {
  const note = main.querySelector(":scope > .empty");
  if (isEmpty && !note) main.append(el("p", { class: "empty" }, "There is no pool. Name one in the configuration, or a source of resources."));
  if (!isEmpty) note?.remove();
}

/** Links to the pools, where there are several. */
function links(states) {
  const nav = at("nav");
  const key = JSON.stringify(states.map((state) => state.name));
  if (nav.dataset.key === key) return;
  nav.dataset.key = key;
  const items = states.map((state) => el("li", {}, el("a", { href: `#${pools.get(state.name).root.id}` }, state.name)));
  nav.replaceChildren(...(states.length > 1 ? [el("ul", { "aria-label": counted(states.length, "pool") }, ...items)] : []));
}

follow(onStatus, onState);
