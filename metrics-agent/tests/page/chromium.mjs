// A real Chromium over its debugging pipe: no port, no library, one tab.
//
//   Chromium.start() --> page.open(url), page.evaluate(f), page.press(key), page.screenshot(file)

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const FLAGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-pipe",
];
const ANSWER_MS = 30_000;

export class Chromium {
  static async start() {
    const profile = mkdtempSync(join(tmpdir(), "zerohop-page-"));
    const child = spawn(process.env.CHROMIUM ?? "chromium", [...FLAGS, `--user-data-dir=${profile}`, "about:blank"], {
      stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"],
    });
    const chromium = new Chromium(child, profile);
    const { targetInfos } = await chromium.send("Target.getTargets");
    const target = targetInfos.find((each) => each.type === "page");
    const { sessionId } = await chromium.send("Target.attachToTarget", { targetId: target.targetId, flatten: true });
    chromium.session = sessionId;
    for (const domain of ["Page", "Runtime", "Log", "Network"]) await chromium.send(`${domain}.enable`);
    return chromium;
  }

  constructor(child, profile) {
    this.child = child;
    this.profile = profile;
    this.waiting = new Map();
    this.complaints = [];
    this.requests = [];
    this.last = 0;
    let text = "";
    child.stdio[4].setEncoding("utf8").on("data", (chunk) => {
      const messages = (text + chunk).split("\0");
      text = messages.pop();
      for (const message of messages) this.hear(JSON.parse(message));
    });
  }

  hear({ id, result, error, method, params }) {
    if (id) {
      const { resolve, reject } = this.waiting.get(id);
      this.waiting.delete(id);
      return error ? reject(new Error(error.message)) : resolve(result);
    }
    if (method === "Runtime.exceptionThrown") this.complaints.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
    if (method === "Log.entryAdded" && params.entry.level === "error") this.complaints.push(`${params.entry.text} ${params.entry.url ?? ""}`);
    if (method === "Network.requestWillBeSent") this.requests.push(params.request.url);
  }

  send(method, params = {}) {
    const id = ++this.last;
    const answer = new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      setTimeout(() => reject(new Error(`no answer to ${method}`)), ANSWER_MS).unref();
    });
    this.child.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId: this.session })}\0`);
    return answer;
  }

  async show({ width, height = 900, scheme = "light", motion = "no-preference" }) {
    await this.send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: false });
    const features = [{ name: "prefers-color-scheme", value: scheme }, { name: "prefers-reduced-motion", value: motion }];
    await this.send("Emulation.setEmulatedMedia", { features });
  }

  async open(url) {
    await this.send("Page.navigate", { url });
    await this.until(() => document.readyState === "complete" && document.querySelector("main")?.getAttribute("aria-busy") === "false");
  }

  /** Closes what is open, and with it its connections. */
  async leave() {
    await this.send("Page.navigate", { url: "about:blank" });
    await this.until(() => location.href === "about:blank");
  }

  /** Runs a function in the page; what it returns must be JSON. */
  async evaluate(run, ...values) {
    const expression = `(${run})(...${JSON.stringify(values)})`;
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", { expression, returnByValue: true, awaitPromise: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  async until(condition, ...values) {
    for (let tries = 0; tries < 300; tries++) {
      const met = await this.evaluate(condition, ...values).catch(() => false);
      if (met) return met;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error(`never true: ${condition}`);
  }

  async press(key) {
    for (const type of ["keyDown", "keyUp"]) await this.send("Input.dispatchKeyEvent", { type, key, code: key, windowsVirtualKeyCode: KEYS[key] });
  }

  async screenshot(file, whole = true) {
    const { cssContentSize } = await this.send("Page.getLayoutMetrics");
    const clip = whole ? { clip: { x: 0, y: 0, width: cssContentSize.width, height: Math.min(cssContentSize.height, 4_000), scale: 1 } } : {};
    const { data } = await this.send("Page.captureScreenshot", { format: "png", captureBeyondViewport: whole, ...clip });
    writeFileSync(file, Buffer.from(data, "base64"));
  }

  async stop() {
    this.child.kill();
    await new Promise((resolve) => this.child.once("exit", resolve));
    rmSync(this.profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

const KEYS = { Tab: 9, Enter: 13, Escape: 27, ArrowLeft: 37, ArrowUp: 38, ArrowRight: 39, ArrowDown: 40 };
