// A job that is followed by its stream, and by polling where there is none.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Client } from "../src/client.ts";
import { eventsOf } from "../src/follow/event_stream.ts";
import { follow } from "../src/follow/follow.ts";

const ID = "11111111-2222-4333-8444-555555555555";
const never = new AbortController().signal;

function body(...pieces: string[]): ReadableStream<Uint8Array> {
  const bytes = pieces.map((piece) => new TextEncoder().encode(piece));
  return new ReadableStream({
    pull(controller) {
      const next = bytes.shift();
      if (next === undefined) controller.close();
      else controller.enqueue(next);
    },
  });
}

test("events are read as the standard says, wherever a piece ends", async () => {
  const text = "\u{feff}".slice(1) + "retry: 2500\r\n: beat\r\nid: 7\nevent: status\rdata: {\"a\":\ndata: \"한\"}\n\ndata:x\n\nevent: only\n\n";
  for (const cut of [1, 3, 1000]) {
    const bytes = new TextEncoder().encode(text);
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < bytes.length; at += cut) pieces.push(bytes.slice(at, at + cut));
    const stream = new ReadableStream<Uint8Array>({
      pull: (controller) => (pieces.length > 0 ? controller.enqueue(pieces.shift()!) : controller.close()),
    });
    let retry = 0;
    const found = [];
    for await (const event of eventsOf(stream, (asked) => (retry = asked))) found.push(event);
    assert.deepEqual(found, [
      { id: "7", event: "status", data: '{"a":\n"한"}' },
      { id: "7", event: "message", data: "x" },
    ]);
    assert.equal(retry, 2500);
  }
});

interface Asked {
  path: string;
  headers: Headers;
}

/** Replaces fetch by these responses, the last of which repeats. */
function serve(...responses: (() => Response)[]): Asked[] {
  const asked: Asked[] = [];
  globalThis.fetch = async (input, init) => {
    asked.push({ path: String(input), headers: new Headers(init?.headers) });
    const next = responses.length > 1 ? responses.shift() : responses[0];
    return next!();
  };
  return asked;
}

const status = (state: string, more = {}) => ({ job_id: ID, state, poll_after_ms: 1, ...more });
const json = (value: unknown, headers = {}) => () =>
  new Response(JSON.stringify(value), { headers: { "content-type": "application/json", ...headers } });
const problem = (code: number, name: string) => () =>
  new Response(JSON.stringify({ code: name }), { status: code, headers: { "content-type": "application/problem+json" } });
const stream = (...pieces: string[]) => () => new Response(body(...pieces), { headers: { "content-type": "text/event-stream" } });

async function followed(client = new Client("secret")): Promise<string[]> {
  const seen: string[] = [];
  const last = await follow(client, ID, { status: ({ state }) => seen.push(state), reachable: () => {} }, never);
  return [...seen, last.state];
}

test("a stream is followed to its end, and the last status is asked for", async () => {
  const asked = serve(
    stream(`id: 3\nevent: status\ndata: ${JSON.stringify(status("PROCESSING"))}\n\n`, "id: 4\nevent: ended\ndata: {}\n\n"),
    json(status("COMPLETED")),
  );
  assert.deepEqual(await followed(), ["PROCESSING", "COMPLETED", "COMPLETED"]);
  assert.deepEqual(asked.map(({ path }) => path), [`/api/jobs/${ID}/events`, `/api/jobs/${ID}/status`]);
  assert.equal(asked[0]!.headers.get("authorization"), "Bearer secret");
});

test("a stream that closes is opened again where it ended", async () => {
  const asked = serve(
    stream(`retry: 1\nid: 9\nevent: status\ndata: ${JSON.stringify(status("PENDING"))}\n\n`),
    stream("event: ended\ndata: {}\n\n"),
    json(status("FAILED")),
  );
  assert.deepEqual(await followed(), ["PENDING", "FAILED", "FAILED"]);
  assert.equal(asked[1]!.headers.get("last-event-id"), "9");
});

test("a server without streams is polled, and not asked for one again", async () => {
  const client = new Client(null);
  const asked = serve(
    problem(404, "request.not_found"),
    json(status("PENDING"), { etag: 'W/"a"' }),
    () => new Response(null, { status: 304, headers: { "retry-after": "0" } }),
    json(status("COMPLETED", { poll_after_ms: null })),
  );
  assert.deepEqual(await followed(client), ["PENDING", "COMPLETED", "COMPLETED"]);
  assert.equal(asked[2]!.headers.get("if-none-match"), 'W/"a"');
  assert.equal(asked[0]!.headers.get("authorization"), null);
  assert.equal(client.hasStreams, false);
});

test("a server whose streams are all taken is polled for now", async () => {
  const client = new Client(null);
  serve(problem(429, "request.rate_limited"), json(status("CANCELLED")));
  assert.deepEqual(await followed(client), ["CANCELLED", "CANCELLED"]);
  assert.equal(client.hasStreams, true);
});

test("a job that is not there is an error", async () => {
  serve(problem(404, "job.not_found"));
  await assert.rejects(followed(), { code: "job.not_found" });
});
