// Follows a job to its end: by its stream of events, or by polling where there is none.

import { type Client, Problem } from "../client.ts";
import { patiently, pauseBefore, sleep, untilOnline } from "../patience.ts";
import { type Status, hasEnded } from "../wire.ts";
import { eventsOf } from "./event_stream.ts";

/** The server sends something every 15 s. A stream that is silent for longer is dead. */
const SILENCE = 45_000;
/** Pause between polls if the server names none, in milliseconds. */
const PAUSE = 2_000;
/** Pause before a stream is opened again, in milliseconds, until the server names one. */
const REOPEN = 3_000;
/** Streams that may fail in a row before the job is polled. */
const FAILURES = 3;

/** What is shown of a job while it is followed. */
export interface Watch {
  status(status: Status): void;
  /** Whether the server can be reached. */
  reachable(is: boolean): void;
}

/** Reports each status of a job, and returns the last one, with its download. */
export async function follow(client: Client, id: string, watch: Watch, signal: AbortSignal): Promise<Status> {
  if (client.hasStreams && (await listen(client, id, watch, signal))) {
    const last = await patiently(() => client.status(id, signal), signal, () => watch.reachable(false));
    watch.status(last);
    if (hasEnded(last.state)) return last;
  }
  return poll(client, id, watch, signal);
}

/** Reads the stream until the job ends. Returns false if the job has to be polled. */
async function listen(client: Client, id: string, watch: Watch, signal: AbortSignal): Promise<boolean> {
  let seen = "";
  let pause = REOPEN;
  for (let failures = 0; failures < FAILURES; ) {
    const silent = new AbortController();
    const either = AbortSignal.any([signal, silent.signal]);
    let timer = setTimeout(() => silent.abort(), SILENCE);
    const beat = () => {
      clearTimeout(timer);
      timer = setTimeout(() => silent.abort(), SILENCE);
    };
    try {
      const headers: Record<string, string> = { accept: "text/event-stream" };
      if (seen !== "") headers["last-event-id"] = seen;
      const response = await client.request("GET", `/api/jobs/${id}/events`, { headers, signal: either });
      if (response.body === null) return false;
      watch.reachable(true);
      for await (const event of eventsOf(response.body, (asked) => (pause = asked), beat)) {
        failures = 0;
        if (event.id !== "") seen = event.id;
        if (event.event === "status") watch.status(JSON.parse(event.data) as Status);
        if (event.event === "ended") return true;
      }
      // A stream lives for some minutes. The next one goes on.
      failures += 0.5;
    } catch (error) {
      if (signal.aborted) throw error;
      if (error instanceof Problem && error.status !== 0) {
        if (error.code === "job.not_found" || error.status === 401) throw error;
        // This server has no streams, or none left.
        if (error.status === 404) client.hasStreams = false;
        return false;
      }
      watch.reachable(false);
      failures++;
    } finally {
      clearTimeout(timer);
    }
    await untilOnline(pause, signal);
  }
  return false;
}

/** Polls as often as the server asks for. */
async function poll(client: Client, id: string, watch: Watch, signal: AbortSignal): Promise<Status> {
  let tag = "";
  let last: Status | null = null;
  for (let tries = 0; ; ) {
    let pause = PAUSE;
    try {
      const headers: Record<string, string> = tag === "" ? {} : { "if-none-match": tag };
      const response = await client.request("GET", `/api/jobs/${id}/status`, { headers, signal });
      watch.reachable(true);
      tries = 0;
      const after = Number.parseInt(response.headers.get("retry-after") ?? "", 10);
      if (!Number.isNaN(after)) pause = after * 1000;
      if (response.status !== 304) {
        last = (await response.json()) as Status;
        tag = response.headers.get("etag") ?? "";
        watch.status(last);
      }
      if (last !== null) {
        if (hasEnded(last.state)) return last;
        // Milliseconds, where the header has whole seconds.
        if (response.status !== 304) pause = last.poll_after_ms ?? pause;
      }
      await sleep(pause, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      // Anything but a problem is a body that was cut.
      if (error instanceof Problem && !error.isTemporary) throw error;
      watch.reachable(false);
      tries++;
      const asked = error instanceof Problem && error.retryAfter !== null ? error.retryAfter * 1000 : 0;
      await untilOnline(Math.max(asked, pauseBefore(tries)), signal);
    }
  }
}
