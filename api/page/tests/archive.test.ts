// The archive of a folder, read by other programs.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { crc32 as reference } from "node:zlib";
import { crc32 } from "../src/archive/crc32.ts";
import { archiveOf, lengthOf } from "../src/archive/folder.ts";
import { namesIn } from "../src/archive/names.ts";
import { type Entry, type Wide, frame } from "../src/archive/zip.ts";

const bytesOf = (text: string) => new TextEncoder().encode(text);
const never = new AbortController().signal;

test("checksums are those of ZIP, in pieces too", () => {
  assert.equal(crc32(bytesOf("123456789")), 0xcbf43926);
  const bytes = Uint8Array.from({ length: 1003 }, (_, n) => (n * 7) & 0xff);
  for (const at of [0, 1, 5, 500, 1003]) {
    assert.equal(crc32(bytes.subarray(at), crc32(bytes.subarray(0, at))), crc32(bytes));
  }
  // Node has one since version 20.15.
  if (reference !== undefined) assert.equal(crc32(bytes), reference(bytes));
});

const READ = `
import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as archive:
    assert archive.testzip() is None
    for info in archive.infolist():
        assert info.compress_type == zipfile.ZIP_STORED
        print(info.filename, archive.read(info).decode(), info.date_time)
`;

/** What Python reads in an archive. */
function read(bytes: Uint8Array): string {
  const directory = mkdtempSync(join(tmpdir(), "cadmill-page-"));
  try {
    const path = join(directory, "a.zip");
    writeFileSync(path, bytes);
    const run = spawnSync("python3", ["-c", READ, path], { encoding: "utf8" });
    assert.equal(run.status, 0, run.stderr);
    return run.stdout;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const FILES = [["town/a.shp", "alpha"], ["town/도로/b.dbf", "beta"], ["town/empty", ""]] as const;
const MODIFIED = Date.UTC(2024, 1, 29, 12, 34, 56);

test("Python reads the archive, whose length is known before", async () => {
  const files = FILES.map(([path, text]) => ({ path, file: new File([text], "x", { lastModified: MODIFIED }) }));
  let done = 0;
  const blob = await archiveOf(files, (bytes) => (done = bytes), never);
  assert.equal(blob.size, lengthOf(files));
  assert.equal(done, 9);
  const found = read(new Uint8Array(await blob.arrayBuffer()));
  assert.equal(
    found,
    "town/a.shp alpha (2024, 2, 29, 12, 34, 56)\ntown/도로/b.dbf beta (2024, 2, 29, 12, 34, 56)\n" +
      "town/empty  (2024, 2, 29, 12, 34, 56)\n",
  );
});

/** An archive with zip64 records from these limits on. */
function wide(limits: Wide): Uint8Array<ArrayBuffer> {
  const entries: Entry[] = FILES.map(([name, text]) => ({
    name, size: bytesOf(text).length, modified: MODIFIED, crc: crc32(bytesOf(text)),
  }));
  const { headers, tail, length } = frame(entries, limits);
  const pieces = FILES.flatMap(([, text], n) => [...headers[n]!, ...bytesOf(text)]);
  const bytes = Uint8Array.from([...pieces, ...tail]);
  assert.equal(bytes.length, length);
  return bytes;
}

test("Python reads zip64 records, wherever they are needed, and so does the form", async () => {
  for (const limits of [{ bytes: 5, entries: 99 }, { bytes: 60, entries: 99 }, { bytes: 1e9, entries: 3 }, { bytes: 0, entries: 0 }]) {
    assert.match(read(wide(limits)), /alpha.*\n.*beta/, JSON.stringify(limits));
    assert.deepEqual(await namesIn(new Blob([wide(limits)])), FILES.map(([name]) => name));
  }
});

test("sizes beyond 4 GiB and counts beyond 65535 are written in full", () => {
  const size = 5 * 2 ** 32 + 7;
  const big = frame([{ name: "a", size, modified: 0, crc: 1 }, { name: "b", size: 1, modified: 0, crc: 2 }]);
  assert.equal(big.length, big.headers[0]!.length + size + big.headers[1]!.length + 1 + big.tail.length);
  const view = new DataView(big.headers[0]!.buffer);
  assert.equal(view.getUint32(18, true), 0xffff_ffff);
  // Behind the name and the head of the field: both sizes.
  assert.equal(view.getBigUint64(35, true), BigInt(size));
  const many = frame(Array.from({ length: 70_000 }, (_, n) => ({ name: `${n}`, size: 0, modified: 0, crc: 0 })));
  const end = new DataView(many.tail.buffer);
  assert.equal(end.getUint16(many.tail.length - 12, true), 0xffff);
  assert.equal(end.getBigUint64(many.tail.length - 22 - 20 - 56 + 24, true), 70_000n);
});

test("the names of what is no archive are not known", async () => {
  const good = wide({ bytes: 1e9, entries: 99 });
  for (const bad of [new Uint8Array(), bytesOf("PK"), good.subarray(0, good.length - 1), good.subarray(200)]) {
    assert.equal(await namesIn(new Blob([bad as Uint8Array<ArrayBuffer>])), null);
  }
  const commented = Uint8Array.from([...good, ...bytesOf("a comment")]);
  assert.equal((await namesIn(new Blob([commented])))?.length, FILES.length);
});
