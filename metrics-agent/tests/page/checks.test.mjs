// The status page in a real browser. `make test-page` runs it.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Chromium } from "./chromium.mjs";
import { Stage } from "./stage.mjs";

let chromium;
before(async () => (chromium = await Chromium.start()));
after(() => chromium.stop());

/** Opens the page of a stage, runs the test, and sees that the browser had nothing to complain about. */
function onStage(pods, how, view, run) {
  return async () => {
    const stage = await Stage.start(pods, ...how);
    try {
      chromium.complaints = [];
      chromium.requests = [];
      await chromium.show(view);
      await chromium.open(`${stage.url}/`);
      await run(stage);
      assert.deepEqual(chromium.complaints, []);
    } finally {
      // Else the page would complain of its lost agent while the next test runs.
      await chromium.leave();
      await stage.stop();
    }
  };
}

const WIDE = { width: 1280 };
const NARROW = { width: 390, height: 844 };

test("five pods: everything that the agent knows is there, from the agent alone", onStage(5, [], WIDE, async (stage) => {
  const page = await chromium.evaluate(() => ({
    title: document.title,
    figures: [...document.querySelectorAll(".figure .value")].map((node) => node.textContent),
    rows: document.querySelectorAll(".pods tbody tr").length,
    headings: [...document.querySelectorAll("h3")].map((node) => node.textContent),
    text: document.body.innerText,
  }));
  assert.equal(page.title, "zerohop-agent-0 · zerohop");
  assert.equal(page.figures[0], "4");
  assert.ok(page.figures.every((figure) => /^[\d,.]+( %)?$/.test(figure)), page.figures.join(" "));
  assert.equal(page.rows, 5);
  assert.deepEqual(page.headings, ["Load, last 10 minutes", "Pods", "Gateways", "Policy in force", "Adapters", "Sheds"]);
  for (const word of ["istio-ingress-5d9c", "llama-70b-next", "10 %", "priority -1", "sql-v2", "on 3 of 4 ready", "connection refused"]) {
    assert.ok(page.text.includes(word), `${word} is missing in\n${page.text}`);
  }
  assert.match(page.text, /\b1[5-9] in the last minute/);
  assert.ok(chromium.requests.every((url) => url.startsWith(stage.url)), chromium.requests.join("\n"));
}));

test("the heat map shows ten minutes and moves on", onStage(5, [], WIDE, async () => {
  const colours = () => {
    const canvas = document.querySelector("canvas");
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, 1);
    return { width: canvas.width, height: canvas.height, kinds: new Set(Array.from({ length: canvas.width }, (_, at) => data.slice(4 * at, 4 * at + 3).join())).size };
  };
  const seen = await chromium.evaluate(colours);
  assert.deepEqual([seen.width, seen.height], [120, 5]);
  assert.ok(seen.kinds > 5, `a pod's load was the same for ten minutes: ${seen.kinds} colours`);
  const before = await chromium.evaluate(() => document.querySelector(".figures").innerText);
  await chromium.until((before) => document.querySelector(".figures").innerText !== before, before);
}));

test("500 pods: the first twenty of the order that was asked for, all on demand", onStage(500, [], WIDE, async () => {
  const rows = () => document.querySelectorAll(".pods tbody tr").length;
  assert.equal(await chromium.evaluate(rows), 20);
  const loads = await chromium.evaluate(() => [...document.querySelectorAll(".pods tbody td:nth-child(3)")].map((cell) => parseInt(cell.textContent, 10)));
  assert.deepEqual(loads, [...loads].sort((a, b) => b - a));
  await chromium.evaluate(() => document.querySelector(".more").click());
  assert.equal(await chromium.evaluate(rows), 500);
  await chromium.evaluate(() => {
    const input = document.querySelector("input[type=search]");
    input.value = "suspect";
    input.dispatchEvent(new Event("input"));
  });
  assert.equal(await chromium.evaluate(rows), 6);
  const blocks = await chromium.evaluate(() => [...document.querySelectorAll("canvas")].map((canvas) => canvas.height));
  assert.deepEqual(blocks, [125, 125, 125, 125]);
}));

test("names from pods, gateways and resources are text and nothing else", onStage(5, ["hostile"], WIDE, async () => {
  const page = await chromium.evaluate(() => ({
    images: [...document.images].map((image) => image.getAttribute("src")),
    title: document.title,
    handlers: document.querySelectorAll("[onerror]").length,
    text: document.body.innerText,
  }));
  assert.deepEqual(page.images, ["/page/icon.svg"]);
  assert.equal(page.handlers, 0);
  assert.notEqual(page.title, "owned");
  const markup = "<img/src=x/onerror=document.title='owned'>";
  for (const name of ["llama-70b-000", "istio-ingress-5d9c", "chat", "sql-v2", "zerohop-agent-0", "llama-70b-next", "connection refused"]) {
    assert.ok(page.text.includes(name + markup), `${name} is not shown as it is`);
  }
  const refused = await chromium.evaluate(() => {
    try {
      document.createElement("p").innerHTML = "<b>";
      return false;
    } catch {
      return true;
    }
  });
  assert.ok(refused, "the browser would take a string for markup");
  chromium.complaints = [];
}));

test("the keyboard reaches everything", onStage(5, [], WIDE, async () => {
  const focused = () => document.activeElement.outerHTML.slice(0, 60) + document.activeElement.textContent.slice(0, 30);
  const seen = [];
  await chromium.evaluate(() => document.body.focus());
  for (let at = 0; at < 25; at++) {
    await chromium.press("Tab");
    seen.push(await chromium.evaluate(focused));
    // Past the end it starts over, with nothing in focus between.
    if (/^<body/.test(seen.at(-1))) break;
    if (at === 0) assert.match(seen[0], /Skip to the pools/);
    const outline = await chromium.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    assert.notEqual(outline, "none", `no focus ring on ${seen.at(-1)}`);
    if (/canvas/.test(seen.at(-1))) {
      await chromium.press("ArrowLeft");
      await chromium.press("ArrowLeft");
      const readout = await chromium.evaluate(() => document.querySelector(".readout").textContent);
      assert.match(readout, /^llama-70b-000, 5 s ago: (unknown|\d+ % of saturation)$/);
    }
    if (/^<button.*Waiting/.test(seen.at(-1))) {
      await chromium.evaluate(() => document.activeElement.click());
      assert.equal(await chromium.evaluate(() => document.activeElement.closest("th").getAttribute("aria-sort")), "descending");
    }
  }
  for (const what of ["canvas", "input", "Waiting", "/metrics"]) assert.ok(seen.some((one) => one.includes(what)), `${what} was not reached: ${seen.join("\n")}`);
}));

test("a screen reader gets a name for every part", onStage(5, [], WIDE, async () => {
  const { nodes } = await chromium.send("Accessibility.getFullAXTree");
  const shown = nodes.filter((node) => !node.ignored);
  const named = new Set(["button", "link", "img", "image", "searchbox", "region", "table", "columnheader", "rowheader", "progressbar", "navigation", "heading", "Canvas"]);
  const nameless = shown.filter((node) => named.has(node.role?.value) && !node.name?.value && node.role.value !== "table");
  assert.deepEqual(nameless.map((node) => node.role.value), []);
  const roles = new Set(shown.map((node) => node.role?.value));
  for (const role of ["main", "banner", "contentinfo", "region", "columnheader", "rowheader", "status"]) assert.ok(roles.has(role), `no ${role}: ${[...roles]}`);
}));

for (const scheme of ["light", "dark"]) {
  test(`every text has a contrast of 4.5 in the ${scheme}`, onStage(5, [], { ...WIDE, scheme }, async () => {
    const weak = await chromium.evaluate(() => {
      const channels = (colour) => colour.match(/[\d.]+/g).map(Number);
      const luminance = (colour) => {
        const [r, g, b] = channels(colour).slice(0, 3).map((c) => ((c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const ground = (node) => {
        for (; node; node = node.parentElement) {
          const colour = getComputedStyle(node).backgroundColor;
          if ((channels(colour)[3] ?? 1) === 1) return colour;
        }
        return "rgb(255, 255, 255)";
      };
      const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
      const weak = [];
      for (let text = walker.nextNode(); text; text = walker.nextNode()) {
        const node = text.parentElement;
        if (!text.data.trim() || !node.checkVisibility() || node.closest("noscript")) continue;
        const [a, b] = [luminance(getComputedStyle(node).color), luminance(ground(node))].sort((a, b) => b - a);
        const contrast = (a + 0.05) / (b + 0.05);
        if (contrast < 4.5) weak.push(`${text.data.slice(0, 30)}: ${contrast.toFixed(2)}`);
      }
      return weak;
    });
    assert.deepEqual(weak, []);
  }));
}

test("who wants no motion gets none", onStage(5, [], { ...WIDE, motion: "reduce" }, async () => {
  await chromium.until(() => document.getElementById("live").dataset.state === "live");
  assert.equal(await chromium.evaluate(() => getComputedStyle(document.querySelector("#live .mark")).animationName), "none");
}));

for (const pods of [5, 500]) {
  test(`${pods} pods fit on a telephone`, onStage(pods, [], NARROW, async () => {
    const wide = await chromium.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(wide <= 0, `${wide} px too wide`);
  }));
}

test("an agent that goes away is told in words, and old figures are not taken for new ones", onStage(5, [], WIDE, async (stage) => {
  await chromium.until(() => document.getElementById("live-text").textContent === "Live");
  await stage.stop();
  await chromium.until(() => document.getElementById("live-text").textContent.startsWith("No answer from the agent"));
  // What the browser says of the broken connection is what was wanted.
  chromium.complaints = [];
}));
