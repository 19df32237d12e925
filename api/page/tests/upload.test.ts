// Uploads against a store in memory, which loses connections, expires URLs and forgets parts.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Problem } from "../src/client.ts";
import { PutError, type Put } from "../src/upload/put.ts";
import { type Progress, SourceChanged, type UploadApi, UploadRefused, Uploader } from "../src/upload/uploader.ts";
import type { PartRequest, Status, Upload } from "../src/wire.ts";

const PART = 1000;
const DONE = { state: "PENDING" } as Status;

/** A store and the API before it. */
class World {
  parts = new Map<number, string>();
  whole: string | null = null;
  puts: number[] = [];
  renewals = 0;
  seconds = 900;
  isComplete = false;
  /** Called before a PUT is served. */
  before: (part: number, signal: AbortSignal) => void | Promise<void> = () => {};
  progress: Progress[] = [];
  readonly blob: Blob;
  readonly threshold: number;

  constructor(size: number, threshold = 0) {
    this.blob = new Blob([Uint8Array.from({ length: size }, (_, n) => n % 251)]);
    this.threshold = threshold;
  }

  get count(): number {
    return Math.ceil(this.blob.size / PART);
  }

  request(part: number): PartRequest {
    const size = Math.min(PART, this.blob.size - (part - 1) * PART);
    const expires_at = new Date(Date.now() + this.seconds * 1000).toISOString();
    return { part_number: part, method: "PUT", url: `s3/${part}`, headers: {}, size_bytes: size, expires_at };
  }

  batch(from: number): PartRequest[] {
    return Array.from({ length: Math.min(100, this.count - from + 1) }, (_, n) => this.request(from + n));
  }

  api: UploadApi = {
    upload: async (): Promise<Upload> => {
      if (this.isComplete) throw new Problem(409, { code: "upload.not_expected" });
      if (this.blob.size <= this.threshold) return { ...this.request(1), kind: "single", size_bytes: this.blob.size };
      return { kind: "multipart", part_size_bytes: PART, part_count: this.count, parts: this.batch(1), next_part_number: null };
    },
    parts: async (from) => {
      this.renewals++;
      const uploaded = [...this.parts].map(([part_number, text]) => ({ part_number, size_bytes: text.length }));
      return { parts: this.batch(from), uploaded, next_part_number: null };
    },
    complete: async () => {
      const there = this.whole?.length ?? [...this.parts.values()].reduce((sum, text) => sum + text.length, 0);
      if (there !== this.blob.size) throw new Problem(409, { code: "upload.incomplete" });
      this.isComplete = true;
      return DONE;
    },
    now: () => Date.now(),
  };

  put: Put = async (request, body, sent, signal) => {
    const part = Number(request.url.split("/")[1]);
    this.puts.push(part);
    await this.before(part, signal);
    signal.throwIfAborted();
    sent(body.size / 2);
    const text = Buffer.from(await body.arrayBuffer()).toString("latin1");
    if (this.blob.size <= this.threshold) this.whole = text;
    else this.parts.set(part, text);
    sent(body.size);
  };

  uploader(): Uploader {
    const wait = async (_: number, signal?: AbortSignal) => {
      await new Promise((resolve) => setImmediate(resolve));
      signal?.throwIfAborted();
    };
    return new Uploader(this.api, this.blob, this.put, (progress) => this.progress.push(progress), wait);
  }

  async run(): Promise<void> {
    assert.equal(await this.uploader().run(new AbortController().signal), DONE);
    await this.assertWhole();
  }

  async assertWhole(): Promise<void> {
    const numbers = [...this.parts.keys()].sort((a, b) => a - b);
    const stored = this.whole ?? numbers.map((number) => this.parts.get(number)).join("");
    assert.equal(stored, Buffer.from(await this.blob.arrayBuffer()).toString("latin1"));
    assert.deepEqual(this.progress.at(-1), { phase: "done", sent: this.blob.size, total: this.blob.size });
  }
}

test("a small file is one request", async () => {
  const world = new World(999, 1000);
  await world.run();
  assert.deepEqual(world.puts, [1]);
});

test("a large file is sent in parts, each once", async () => {
  const world = new World(10_500);
  await world.run();
  assert.deepEqual(world.puts.sort((a, b) => a - b), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  assert.equal(world.renewals, 1, "the URLs of the first answer serve");
});

test("what has arrived is not sent again, and a part of another size is", async () => {
  const world = new World(5000);
  await world.run();
  const second = new World(5000);
  for (const part of [1, 3]) second.parts.set(part, world.parts.get(part) ?? "");
  second.parts.set(4, "short");
  await second.run();
  assert.deepEqual(second.puts.sort((a, b) => a - b), [2, 4, 5]);
});

test("a cut network is waited for", async () => {
  const world = new World(4000);
  let cuts = 25;
  world.before = () => {
    if (cuts-- > 0) throw new PutError(0);
  };
  await world.run();
  assert.ok(world.progress.some(({ phase }) => phase === "waiting"));
});

test("an expired URL is renewed, and one that will expire is not used", async () => {
  const world = new World(2000);
  let refused = false;
  world.before = (part) => {
    if (part === 2 && !refused) {
      refused = true;
      throw new PutError(403);
    }
  };
  await world.run();
  assert.deepEqual(world.puts, [1, 2, 2]);
  assert.equal(world.renewals, 2);

  const late = new World(1500);
  late.seconds = 5;
  const parts = late.api.parts;
  late.api.parts = (from, signal) => {
    late.seconds = 900;
    return parts(from, signal);
  };
  late.parts.set(2, Buffer.from(await late.blob.slice(1000).arrayBuffer()).toString("latin1"));
  await late.run();
  assert.deepEqual(late.puts, [1]);
});

test("a store that refuses for ever is given up", async () => {
  const world = new World(2000);
  world.before = () => {
    throw new PutError(503);
  };
  await assert.rejects(world.uploader().run(new AbortController().signal), UploadRefused);
});

test("a response that was lost counts as arrived", async () => {
  const world = new World(500, 1000);
  let lost = false;
  world.before = async () => {
    if (lost) throw new PutError(412);
    lost = true;
    world.whole = Buffer.from(await world.blob.arrayBuffer()).toString("latin1");
    throw new PutError(0);
  };
  await world.run();
});

test("parts that the store has lost are sent again", async () => {
  const world = new World(3000);
  const complete = world.api.complete;
  let once = true;
  world.api.complete = (signal) => {
    if (once) world.parts.delete(2);
    once = false;
    return complete(signal);
  };
  await world.run();
  assert.deepEqual(world.puts.sort((a, b) => a - b), [1, 2, 2, 3]);
});

test("an upload that had completed is not an error", async () => {
  const world = new World(1000);
  await world.run();
  const again = world.uploader();
  assert.equal(await again.run(new AbortController().signal), DONE);
});

test("a pause stops what is on its way, and a resumption sends it", async () => {
  const world = new World(8000);
  const uploader = world.uploader();
  let held = 0;
  world.before = (_, signal) => {
    if (++held > 4) return;
    return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  };
  const run = uploader.run(new AbortController().signal);
  while (held < 4) await new Promise((resolve) => setImmediate(resolve));
  uploader.pause();
  assert.equal(uploader.phase, "paused");
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(world.puts.length, 4, "nothing is sent while it is paused");
  uploader.resume();
  await run;
  await world.assertWhole();
});

test("an abort ends it, also during a pause", async () => {
  const world = new World(8000);
  const stop = new AbortController();
  const uploader = world.uploader();
  world.before = () => uploader.pause();
  const run = uploader.run(stop.signal);
  await new Promise((resolve) => setTimeout(resolve, 20));
  stop.abort(new Error("left"));
  await assert.rejects(run, /left/);
});

test("a file that was changed is reported", async () => {
  const world = new World(3000);
  const slice = world.blob.slice.bind(world.blob);
  world.before = () => {
    world.blob.slice = (from, to) =>
      Object.assign(slice(from, to), { arrayBuffer: () => Promise.reject(new DOMException("", "NotReadableError")) });
    throw new PutError(0);
  };
  await assert.rejects(world.uploader().run(new AbortController().signal), SourceChanged);
});

test("a problem of the API ends it, unless it is temporary", async () => {
  const world = new World(2000);
  const upload = world.api.upload;
  let tries = 0;
  world.api.upload = (signal) => {
    if (++tries < 3) throw new Problem(503, { code: "server.unavailable" }, 1);
    return upload(signal);
  };
  await world.run();
  const ended = new World(2000);
  ended.api.upload = async () => {
    throw new Problem(409, { code: "job.ended" });
  };
  await assert.rejects(ended.uploader().run(new AbortController().signal), { code: "job.ended" });
});
