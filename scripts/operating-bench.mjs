// Runs filter/examples/operating_bench in V8 with a host that does nothing; writes the figures into
// target/bench/operating.json beside those that are there.
//
//   node --no-warnings --no-liftoff scripts/operating-bench.mjs EXAMPLE.wasm target/bench/operating.json
//
// A figure is the time in the VM plus, for each call of the host, what Envoy takes for it (measured in
// Envoy 1.40 from within a filter, nanoseconds).
import { readFileSync } from 'node:fs';
import { WASI } from 'node:wasi';
import { add } from './figures.mjs';

const ENVOY_NS = {
  proxy_increment_metric: 60,
  proxy_record_metric: 85,
  proxy_get_buffer_bytes: 800,
  clock: 105,
};
const GOALS = { metrics_us_per_request: 3, sse_chunk_us: 2 };

const wasi = new WASI({ version: 'preview1' });
const imports = wasi.getImportObject();
const module = await WebAssembly.compile(readFileSync(process.argv[2]));
const calls = {};
const count = (name) => {
  calls[name] = (calls[name] ?? 0) + 1;
};
let exports;
const view = () => new DataView(exports.memory.buffer);
let metrics = 0;
const host = {
  proxy_define_metric: (kind, name, size, id) => view().setUint32(id, ++metrics, true),
  proxy_get_buffer_bytes: (kind, start, size, data, dataSize) => {
    const at = exports.proxy_on_memory_allocate(size);
    new Uint8Array(exports.memory.buffer).fill(0x61, at, at + size);
    view().setUint32(data, at, true);
    view().setUint32(dataSize, size, true);
  },
};
const env = {};
for (const { module: from, name } of WebAssembly.Module.imports(module)) {
  if (from !== 'env') continue;
  env[name] = (...args) => {
    count(name);
    host[name]?.(...args);
    return 0;
  };
}
const clock = imports.wasi_snapshot_preview1.clock_time_get;
imports.wasi_snapshot_preview1.clock_time_get = (...args) => {
  count('clock');
  return clock(...args);
};
const write = imports.wasi_snapshot_preview1.fd_write;
const figures = [];
const state = {};
imports.wasi_snapshot_preview1.fd_write = (fd, vectors, length, written) => {
  if (fd !== 1) return write(fd, vectors, length, written);
  let text = '';
  for (let index = 0; index < length; index++) {
    const at = view().getUint32(vectors + 8 * index, true);
    const size = view().getUint32(vectors + 8 * index + 4, true);
    text += new TextDecoder().decode(new Uint8Array(exports.memory.buffer, at, size));
  }
  view().setUint32(written, new TextEncoder().encode(text).length, true);
  for (const line of text.trim().split('\n').filter(Boolean)) {
    const [word, id, number] = line.split(' ');
    if (word === 'begin') {
      Object.assign(state, { repetitions: Number(number), before: { ...calls } });
    } else {
      let us = Number(number);
      for (const [name, ns] of Object.entries(ENVOY_NS)) {
        const made = (calls[name] ?? 0) - (state.before[name] ?? 0);
        us += ((made / state.repetitions) * ns) / 1000;
      }
      console.log(`${id}: ${us.toFixed(2)} us, ${Number(number).toFixed(2)} of it in the VM`);
      figures.push({ id: `operating.${id}`, value: Number(us.toFixed(3)), unit: 'us', goal: GOALS[id] });
    }
  }
  return 0;
};
({ exports } = await WebAssembly.instantiate(module, { ...imports, env }));
wasi.start({ exports: { memory: exports.memory, _start: exports._start } });
add(process.argv[3], figures);
