// Runs a WASI command module in node: node [V8 flags] scripts/run-wasi.mjs MODULE [arguments].
import { readFile } from "node:fs/promises";
import { WASI } from "node:wasi";

const [path, ...rest] = process.argv.slice(2);
if (path === undefined) {
  console.error("usage: run-wasi.mjs MODULE [arguments]");
  process.exit(2);
}
const wasi = new WASI({ version: "preview1", args: [path, ...rest], returnOnExit: true });
const module = await WebAssembly.compile(await readFile(path));
const instance = await WebAssembly.instantiate(module, wasi.getImportObject());
process.exitCode = wasi.start(instance);
