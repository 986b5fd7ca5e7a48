// The figures of a bench, as target/bench/NAME.json has them (e2e/src/bench/figures.rs writes the same).

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';

// Adds figures, `{ id, value, unit, goal }` with less being better, to those of other ids in a file, and prints them.
export function add(file, figures) {
  let others = [];
  try {
    others = JSON.parse(readFileSync(file, 'utf8')).figures ?? [];
  } catch {
    // Nothing was measured there before.
  }
  const kept = others.filter((old) => figures.every(({ id }) => id !== old.id));
  const added = figures.map((figure) => ({ ...figure, better: 'lower' }));
  mkdirSync(dirname(file), { recursive: true });
  const bench = basename(file, '.json');
  writeFileSync(file, `${JSON.stringify({ bench, figures: [...kept, ...added] }, null, 2)}\n`);
  for (const { id, value, unit, goal } of figures) {
    const verdict = goal === undefined ? '' : `, goal ${goal}${value > goal ? '  MISSED' : ''}`;
    console.log(`${id.padEnd(50)} ${String(value).padStart(8)} ${unit}${verdict}`);
  }
}
