// How fast the page is there, and what it costs the agent:  node bench.mjs FILE

import { add } from "../../../scripts/figures.mjs";
import { Chromium } from "./chromium.mjs";
import { Stage } from "./stage.mjs";

const LOADS = 9;
const WATCHED_S = 20;

const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, 1_000 * seconds));

const chromium = await Chromium.start();
const stage = await Stage.start(500);
const figures = [];
try {
  await chromium.show({ width: 1280 });
  const paints = [];
  const drawn = [];
  for (let load = 0; load < LOADS; load++) {
    await chromium.open(`${stage.url}/`);
    const times = await chromium.until(() => {
      const paint = performance.getEntriesByName("first-contentful-paint")[0];
      const mark = performance.getEntriesByName("drawn")[0];
      return paint && mark && { paint: paint.startTime, drawn: mark.startTime };
    });
    paints.push(times.paint);
    drawn.push(times.drawn);
  }
  const used = async () => {
    const start = stage.cpu();
    await pause(WATCHED_S);
    return (stage.cpu() - start) / WATCHED_S;
  };
  const watched = await used();
  await chromium.leave();
  const alone = await used();
  const figure = (id, value, goal) => figures.push({ id, value: Math.round(value * 10) / 10, unit: id.includes("cpu") ? "ms/s" : "ms", goal });
  figure("operating.page_first_paint_ms.500", median(paints), 300);
  figure("operating.page_all_pods_drawn_ms.500", median(drawn), 300);
  figure("operating.page_agent_cpu_ms_per_s.500", watched, 50);
  figure("operating.page_agent_cpu_unwatched_ms_per_s.500", alone);
} finally {
  await stage.stop();
  await chromium.stop();
}

add(process.argv[2], figures);
