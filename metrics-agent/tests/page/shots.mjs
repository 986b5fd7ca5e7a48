// Screenshots of every form of the page, to be looked at:  node shots.mjs FOLDER

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { Chromium } from "./chromium.mjs";
import { Stage } from "./stage.mjs";

const folder = process.argv[2];
mkdirSync(folder, { recursive: true });
const chromium = await Chromium.start();
try {
  for (const pods of [5, 500]) {
    const stage = await Stage.start(pods);
    try {
      for (const [name, view] of Object.entries({
        light: { width: 1280 },
        dark: { width: 1280, scheme: "dark" },
        narrow: { width: 390, height: 844 },
      })) {
        await chromium.show(view);
        await chromium.open(`${stage.url}/`);
        const file = join(folder, `${pods}-${name}.png`);
        await chromium.screenshot(file);
        console.log(file);
      }
    } finally {
      await stage.stop();
    }
  }
} finally {
  await chromium.stop();
}
