// A result is offered only if it is the one that the server recorded.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { DownloadFailed, NotTheResult, fetchChecked } from "../src/result.ts";
import type { Download } from "../src/wire.ts";

const CONTENT = Buffer.alloc(20_000_003, "0123456789");
const never = new AbortController().signal;

function download(change: Partial<Download> = {}): Download {
  const sha256 = createHash("sha256").update(CONTENT).digest("hex");
  const whole = { method: "GET", url: "s3", headers: {}, expires_at: "", file_name: "a.dxf" };
  return { ...whole, size_bytes: CONTENT.length, sha256, ...change };
}

function serve(content: Buffer, status = 200): void {
  globalThis.fetch = async (_, init) => {
    assert.equal(init?.credentials, "omit");
    assert.equal(new Headers(init?.headers).get("authorization"), null);
    return new Response(new Uint8Array(content), { status });
  };
}

test("the whole result with its digest is good", async () => {
  serve(CONTENT);
  let received = 0;
  const { blob, sha256, compared } = await fetchChecked(download(), (bytes) => (received = bytes), never);
  assert.ok(compared);
  assert.equal(sha256, download().sha256);
  assert.equal(received, CONTENT.length);
  assert.ok(Buffer.from(await blob.arrayBuffer()).equals(CONTENT));
});

test("without a digest of the server the size is compared", async () => {
  serve(CONTENT);
  assert.equal((await fetchChecked(download({ sha256: null }), () => {}, never)).compared, false);
});

test("another size or another digest is refused", async () => {
  const other = Buffer.from(CONTENT);
  other[10_000_000]! ^= 1;
  for (const bad of [CONTENT.subarray(1), Buffer.concat([CONTENT, Buffer.from("x")]), other, Buffer.alloc(0)]) {
    serve(bad);
    await assert.rejects(fetchChecked(download(), () => {}, never), NotTheResult);
  }
});

test("a store that answers with an error is reported", async () => {
  serve(Buffer.from("<Error/>"), 403);
  await assert.rejects(fetchChecked(download(), () => {}, never), (error) => error instanceof DownloadFailed && error.status === 403);
});
