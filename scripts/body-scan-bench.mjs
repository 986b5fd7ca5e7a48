// Runs filter/examples/body_scan_bench in V8, Envoy's engine, compiled up front as Envoy does:
//
//   cargo build --profile wasm-release -p filter --target wasm32-wasip1 --example body_scan_bench
//   node --no-warnings --no-liftoff scripts/body-scan-bench.mjs \
//     target/wasm32-wasip1/wasm-release/examples/body_scan_bench.wasm
import { readFileSync } from 'node:fs';
import { WASI } from 'node:wasi';

const wasi = new WASI({ version: 'preview1' });
const module = await WebAssembly.compile(readFileSync(process.argv[2]));
// The filter's library imports Envoy's functions; the scan calls none of them.
const env = {};
for (const { module: from, name } of WebAssembly.Module.imports(module)) {
  if (from === 'env') {
    env[name] = () => {
      throw new Error(`the scan called ${name}`);
    };
  }
}
const { exports } = await WebAssembly.instantiate(module, { ...wasi.getImportObject(), env });
// The library also exports Envoy's entry, which must not run here.
wasi.start({ exports: { memory: exports.memory, _start: exports._start } });
