// What is known of a pool beside its pods: gateways, policy, roll-out, sheds. Each card draws itself anew
// only when what it shows has changed.

import { el, number, percent, age, span, counted } from "./dom.js";

class Card {
  constructor(id, name, title) {
    this.body = el("div");
    this.root = el("section", { class: "card", "aria-labelledby": `${id}-${name}` }, el("h3", { id: `${id}-${name}` }, title), this.body);
    this.key = null;
  }

  draw(shown, make) {
    const key = JSON.stringify(shown);
    if (key === this.key) return;
    this.key = key;
    this.body.replaceChildren(...make());
  }
}

const note = (text) => el("p", { class: "quiet" }, text);

export class Gateways extends Card {
  constructor(id) {
    super(id, "gateways", "Gateways");
    // What can have the focus stays when its content is drawn anew.
    for (const [name, value] of Object.entries({ class: "scroll", tabindex: "0", role: "group", "aria-label": "Table of gateways" })) this.body.setAttribute(name, value);
  }

  update({ gateways }) {
    // Ages of a second are no news.
    const shown = gateways.map((gateway) => ({ ...gateway, heard_age_ms: 100 * Math.round(gateway.heard_age_ms / 100) }));
    this.draw(shown, () => {
      if (gateways.length === 0) return [note("No gateway is connected. Those that were go on with what they last heard.")];
      const rows = shown.map((gateway) =>
        el(
          "tr",
          {},
          el("th", { scope: "row" }, gateway.id),
          el("td", { class: "number" }, span(gateway.connected_s)),
          el("td", { class: "number" }, age(gateway.heard_age_ms)),
          el("td", { class: "number" }, number(gateway.in_flight)),
        ),
      );
      const heads = ["Gateway", "Connected", "Heard", "In flight"].map((head, index) => el("th", { scope: "col", class: index > 0 && "number" }, head));
      return [el("table", {}, el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...rows))];
    });
  }
}

export class Policy extends Card {
  constructor(id) {
    super(id, "policy", "Policy in force");
  }

  update({ policy }) {
    this.draw(policy, () => {
      if (!policy) return [note("No policy: models are neither checked nor rewritten.")];
      const rules = policy.rules.map((rule) => {
        const targets = rule.targets.map((target) => el("li", {}, el("span", { class: "share" }, percent(target.share)), target.model));
        const priority = rule.priority == null ? [] : [el("span", { class: "tag" }, `priority ${rule.priority}`)];
        return el("li", {}, el("span", { class: "model" }, rule.model ?? "any model"), ...priority, ...(targets.length ? [el("ul", { class: "targets" }, ...targets)] : []));
      });
      const objectives = policy.objectives.map((objective) => el("li", {}, objective.name, el("span", { class: "tag" }, `priority ${objective.priority}`)));
      return [
        el("ul", { class: "rules" }, ...rules),
        ...(objectives.length ? [el("h4", {}, "Objectives"), el("ul", { class: "rules" }, ...objectives)] : []),
        note(`Without endpoints requests are ${policy.fail_open ? "left to Envoy" : "refused"}. Pods list ${counted(policy.models, "model")}. Revision ${policy.revision.slice(0, 8)}.`),
      ];
    });
  }
}

export class RollOut extends Card {
  constructor(id) {
    super(id, "rollout", "Adapters");
  }

  update({ rollout }) {
    this.draw(rollout, () => {
      if (rollout.length === 0) return [note("None is declared.")];
      return [el("ul", { class: "rules" }, ...rollout.map((adapter) => this.adapter(adapter)))];
    });
  }

  adapter({ name, wanted, having, of, drawn }) {
    const done = wanted ? having === of : having === 0;
    const state = wanted ? (done ? "loaded" : "loading") : done ? "unloaded" : "unloading";
    return el(
      "li",
      {},
      el("span", { class: "model" }, name),
      el("span", { class: "tag" }, drawn ? `${state}, gets requests` : state),
      el("span", { class: "progress" }, el("progress", { max: Math.max(of, 1), value: wanted ? having : of - having, "aria-label": `${name}: on ${having} of ${of} ready pods` }), ` on ${having} of ${of} ready`),
    );
  }
}

export class Sheds extends Card {
  constructor(id) {
    super(id, "sheds", "Sheds");
  }

  update({ sheds }) {
    this.draw(sheds ?? null, () => {
      if (sheds == null) return [note("No connected gateway has reported yet what it refuses.")];
      return [sheds === 0 ? note("None in the last minute.") : el("p", {}, `${number(sheds)} in the last minute`)];
    });
  }
}
