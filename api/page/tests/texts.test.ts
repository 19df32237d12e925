// The texts, the options and what is shown.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { newJobId, Problem } from "../src/client.ts";
import { explain } from "../src/explain.ts";
import { type Language, preferred, textsOf } from "../src/language.ts";
import { choicesOf, extensionOf, targetsOf } from "../src/options.ts";
import { readDxf } from "../src/preview/dxf.ts";
import { pathsOf } from "../src/preview/geojson.ts";
import { extentOf } from "../src/preview/path.ts";
import { isFolder } from "../src/source.ts";
import { linesOf } from "../src/views/timeline.ts";
import type { Audit, Engine, Status } from "../src/wire.ts";

// The tests run in the repository's directory.
const read = (path: string) => readFileSync(path, "utf8");
const json = (name: string) => JSON.parse(read(`api/page/text/${name}.json`));
const texts = (language: Language) => textsOf(language, json(language), json(`failures.${language}`));

test("both languages have the same texts with the same parameters", () => {
  const [english, korean] = [json("en"), json("ko")] as Record<string, string>[];
  assert.deepEqual(Object.keys(korean!), Object.keys(english!));
  for (const [key, text] of Object.entries(english!)) {
    const names = (from: string) => (from.match(/\{\w+\}/g) ?? []).sort();
    assert.deepEqual(names(korean![key]!), names(text), key);
  }
  assert.deepEqual(Object.keys(json("failures.ko")), Object.keys(json("failures.en")));
});

test("the language is that of the address, or of the browser", () => {
  assert.equal(preferred("?lang=ko", ["en"]), "ko");
  assert.equal(preferred("?lang=xx", ["fr", "ko-KR", "en"]), "ko");
  assert.equal(preferred("", ["fr"]), "en");
});

test("sizes and times are those of the language", () => {
  assert.equal(texts("en").bytes(999), "999 bytes");
  assert.equal(texts("en").bytes(999_600), "1 MB");
  assert.equal(texts("en").bytes(1_610_612_736), "1.61 GB");
  assert.equal(texts("ko").percent(0.999), "99%");
  assert.match(texts("ko").duration(1500), /1\.5\s?초/);
  assert.equal(texts("en").t("chosen_file", { name: "{size}", size: "1 MB" }), "{size}, 1 MB");
});

test("every failure has a text in both languages, and others have their code", () => {
  const known = explain(new Problem(422, { code: "limit.memory", detail: "the cap is 4 GiB" }), texts("ko"));
  assert.match(known.meaning, /메모리/);
  assert.equal(known.detail, "the cap is 4 GiB");
  assert.equal(explain(new Problem(500, { code: "new.code" }), texts("en")).meaning, "new.code");
  assert.equal(explain(new Problem(0, { code: "page.network" }), texts("en")).meaning, "The server cannot be reached.");
});

test("the options of the form are documented", () => {
  const documented = read("docs/ENGINES.md") + read("docs/DXF.md").replace(/^\| `/gm, "| `dxf.");
  for (const engine of ["gdal", "assimp", "occt"]) {
    const choices = choicesOf({ engine, inputs: [], outputs: [] }, "dxf");
    assert.ok(choices.length > 1);
    for (const { name, values } of choices) {
      assert.ok(documented.includes(`\`${name}\``), name);
      for (const value of values ?? []) assert.ok(documented.includes(value), `${name}: ${value}`);
    }
  }
  const declared = choicesOf(
    { engine: "own", inputs: [], outputs: [], options: [{ name: "a", values: "one of x, y" }, { name: "b", values: "yes or no" }, { name: "c" }] },
    "x",
  );
  assert.deepEqual(declared, [{ name: "a", values: ["x", "y"] }, { name: "b", values: ["yes", "no"] }, { name: "c" }]);
});

const ENGINES: Engine[] = [
  { engine: "gdal", inputs: ["shp", "dxf"], outputs: [{ id: "DXF", extension: "dxf" }, { id: "KML", extension: "kml" }, { id: "LIBKML", extension: "kml" }] },
  { engine: "assimp", inputs: ["dxf", "obj"], outputs: [{ id: "stl", extension: "stl" }, { id: "stlb", extension: "stl" }] },
];

test("formats are those of the engines that read the file", () => {
  const values = (...names: string[]) => targetsOf(ENGINES, names).map(({ engine, targets }) => [engine.engine, ...targets.map(({ value }) => value)]);
  assert.deepEqual(values("a.SHP", "a.dbf"), [["gdal", "dxf", "kml", "LIBKML"]]);
  assert.deepEqual(values("town/a.obj"), [["assimp", "stl", "stlb"]]);
  assert.deepEqual(values("a.dxf").map(([engine]) => engine), ["gdal", "assimp"]);
  assert.deepEqual(values("a.xyz"), []);
  // What is in an archive within an archive is not known.
  assert.equal(values("inner.zip").length, 2);
  assert.equal(targetsOf(ENGINES, null).length, 2);
  assert.equal(extensionOf("a.b.ZIP"), "zip");
  assert.equal(extensionOf(".zip"), "");
  assert.equal(extensionOf("dir.x/file"), "");
});

test("a dropped folder is not taken for a file", () => {
  const file = new File([], "a");
  assert.equal(isFolder([{ path: "a", file }]), false);
  assert.equal(isFolder([{ path: "town/a", file }]), true);
});

test("ids are UUIDs of version 4", () => {
  const ids = new Set(Array.from({ length: 100 }, newJobId));
  assert.equal(ids.size, 100);
  for (const id of ids) assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});

test("the timeline has what the record and the ledgers have", () => {
  const at = (minute: number) => `2026-01-01T00:0${minute}:00.000Z`;
  const status = {
    state: "COMPLETED", attempt: 2, created_at: at(0), uploaded_at: at(1), claimed_at: at(2), ended_at: at(3),
    stage_millis: { fetch: 12, convert: 1500, publish: null },
  } as unknown as Status;
  const audit: Audit = {
    job_id: "x", attempts_made: 2,
    attempts: [{ attempt: 2, part: 0, head: { last_seq: 40, last_hash: "", ledger: "x/2-0" }, signature: "s" }],
    deletions: [{ objects: 2, uploads: 0, confirmed_at: at(4), by: "api", ledger: null }],
  };
  const lines = linesOf(status, audit, texts("en"));
  assert.deepEqual(lines.map((line) => line.at), [at(0), at(1), at(2), null, null, null, at(3), at(4)]);
  assert.equal(lines[5]!.text, "Ledger x/2-0: 41 records, signed");
  assert.equal(lines[7]!.text, "Deleted and looked for again: 2 objects; nothing was left");
});

test("the paths of a drawing are those of its geometries, however they are nested", () => {
  const point = { type: "Point", coordinates: [1, 2] };
  const area = { type: "MultiPolygon", coordinates: [[[[0, 0], [4, 0], [4, 3], [0, 0]]]] };
  const collection = { type: "GeometryCollection", geometries: [point, area, { type: "LineString", coordinates: [[9, 9, 5], ["x", 1]] }] };
  const paths = pathsOf({ type: "FeatureCollection", features: [{ type: "Feature", geometry: collection }, { type: "Feature", geometry: null }] });
  assert.deepEqual(paths.map(({ points, isArea }) => [points.length, isArea]), [[1, false], [4, true], [1, false]]);
  assert.deepEqual(extentOf(paths), [0, 0, 9, 9]);
  let deep: unknown = point;
  for (let n = 0; n < 100_000; n++) deep = { type: "Feature", geometry: deep };
  assert.deepEqual(pathsOf(deep), []);
});

/** A drawing of these entities, each a list of codes and values. */
function dxf(...entities: (string | number)[][]): string {
  const section = (name: string) => [0, "SECTION", 2, name];
  const all = [...section("BLOCKS"), 0, "LINE", 10, 99, 0, "ENDSEC", ...section("ENTITIES"), ...entities.flat(), 0, "ENDSEC", 0, "EOF"];
  return all.map((item) => `${item}\r\n`).join("");
}

test("a drawing in DXF is drawn where it is, and what is not drawn is counted", () => {
  const { paths, shown, left } = readDxf(
    dxf(
      [0, "POINT", 10, 1, 20, 2, 30, 3],
      [0, "LINE", 10, 0, 20, 0, 11, 4, 21, 3],
      // Half a circle from (0, 0) to (2, 0), below the line between them.
      [0, "LWPOLYLINE", 90, 2, 70, 0, 10, 0, 20, 0, 42, 1, 10, 2, 20, 0],
      [0, "POLYLINE", 70, 1, 0, "VERTEX", 10, 0, 20, 0, 0, "VERTEX", 10, 5, 20, 0, 0, "VERTEX", 10, 5, 20, 5, 0, "SEQEND"],
      [0, "CIRCLE", 10, 10, 20, 10, 40, 2],
      [0, "ARC", 10, 0, 20, 0, 40, 1, 50, 270, 51, 90],
      [0, "ARC", 10, 5, 20, 0, 40, 1, 50, 0, 51, 90, 230, -1],
      [0, "TEXT", 10, 1, 20, 1, 1, "x"],
      [0, "INSERT", 2, "b", 66, 1, 0, "ATTRIB", 1, "y", 0, "SEQEND"],
      [0, "POLYLINE", 70, 64, 0, "VERTEX", 10, 0, 20, 0, 0, "SEQEND"],
      [0, "LINE", 10, "x", 20, 0, 11, 4, 21, 3],
    ),
  );
  assert.deepEqual([shown, left, paths.length], [7, 4, 7]);
  assert.deepEqual(paths[1], { points: [[0, 0], [4, 3]], isArea: false });
  const near = (found: number, expected: number) => assert.ok(Math.abs(found - expected) < 1e-9, `${found} ${expected}`);
  const extents = paths.map((path) => extentOf([path]));
  extents[2]!.forEach((value, n) => near(value, [0, -1, 2, 0][n]!));
  assert.deepEqual([paths[3]!.points.length, paths[3]!.isArea], [3, true]);
  extents[4]!.forEach((value, n) => near(value, [8, 8, 12, 12][n]!));
  extents[5]!.forEach((value, n) => near(value, [0, -1, 1, 1][n]!));
  extents[6]!.forEach((value, n) => near(value, [-6, 0, -5, 1][n]!));
});

test("a drawing that is none has nothing", () => {
  for (const text of ["", "0", "0\nSECTION\n2\nENTITIES\n0\nLINE", "\n\n\n", "{}"]) assert.equal(readDxf(text).shown, 0);
});
