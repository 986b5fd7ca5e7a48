// The agent's side of a test: its own server with actors for pods and gateways.

import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

export class Stage {
  static async start(pods, ...how) {
    const child = spawn(process.env.STATUS_STAGE, [String(pods), ...how], { stdio: ["ignore", "pipe", "inherit"] });
    for await (const url of createInterface({ input: child.stdout })) return new Stage(child, url);
    throw new Error("the stage ended before it told its address");
  }

  constructor(child, url) {
    this.child = child;
    this.url = url;
  }

  /** Milliseconds of CPU that its process has used. */
  cpu() {
    const fields = readFileSync(`/proc/${this.child.pid}/stat`, "utf8").split(") ")[1].split(" ");
    return (Number(fields[11]) + Number(fields[12])) * 10;
  }

  async stop() {
    if (this.child.signalCode) return;
    this.child.kill("SIGKILL");
    await new Promise((resolve) => this.child.once("exit", resolve));
  }
}
