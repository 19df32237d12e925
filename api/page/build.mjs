// Builds the page into dist/, which cargo embeds: `node build.mjs`, with NODE_PATH set to the packages.
//
// The name of an asset has the digest of its content, so browsers keep it for ever; index.html names the
// assets. Each file has a compressed copy beside it.

import { createRequire } from "node:module";
import { mkdir, readFile, readdir, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const here = dirname(fileURLToPath(import.meta.url));
const { build } = createRequire(import.meta.url)("esbuild");
const made = join(here, "dist.new");
const dist = join(here, "dist");

await rm(made, { recursive: true, force: true });
await mkdir(join(made, "assets"), { recursive: true });
const { metafile } = await build({
  absWorkingDir: here,
  entryPoints: { main: "src/main.ts", style: "src/style.css" },
  outdir: join(made, "assets"),
  entryNames: "[name]-[hash]",
  chunkNames: "[name]-[hash]",
  bundle: true,
  splitting: true,
  format: "esm",
  target: "es2022",
  minify: true,
  charset: "utf8",
  legalComments: "none",
  metafile: true,
  logLevel: "warning",
});
const named = (source) => {
  const found = Object.entries(metafile.outputs).find(([, output]) => output.entryPoint === source);
  return basename(found[0]);
};
const template = await readFile(join(here, "src/index.html"), "utf8");
const page = template.replace("{{main}}", named("src/main.ts")).replace("{{style}}", named("src/style.css"));
await writeFile(join(made, "index.html"), page);
// What is bundled, with its licence, as the licences ask for.
const packages = new Set();
for (const input of Object.keys(metafile.inputs)) {
  const [, name] = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input) ?? [];
  if (name !== undefined) packages.add(name);
}
const notices = [];
for (const name of [...packages].sort()) {
  const home = process.env.NODE_PATH.split(":").map((path) => join(path, name));
  for (const place of home) {
    const licence = await readFile(join(place, "LICENSE"), "utf8").catch(() => null);
    if (licence !== null) notices.push(`${name}\n\n${licence.trim()}\n`);
  }
}
if (notices.length !== packages.size) throw new Error("a package without a licence");
await writeFile(join(made, "assets", "licences.txt"), notices.join("\n---\n\n"));

const files = ["index.html", ...(await readdir(join(made, "assets"))).map((name) => `assets/${name}`)];
for (const file of files) {
  await writeFile(join(made, `${file}.gz`), gzipSync(await readFile(join(made, file)), { level: 9 }));
}
await rm(dist, { recursive: true, force: true });
await rename(made, dist);
