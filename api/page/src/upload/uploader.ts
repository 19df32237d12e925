// Uploads one file: with one request, or in parts. What has arrived is known to the store alone, so
// an upload goes on wherever it ended, after a pause, a cut network or a reload.
//
// A part is a slice of the file, which the browser reads while it sends it: nothing is held in
// memory here.

import { Problem } from "../client.ts";
import { patiently, pauseBefore, untilOnline } from "../patience.ts";
import type { MultipartUpload, PartRequest, Parts, SingleUpload, Status, Upload } from "../wire.ts";
import { PutError, type Put } from "./put.ts";

/** What an upload asks of the API, for one job. */
export interface UploadApi {
  upload(signal: AbortSignal): Promise<Upload>;
  parts(from: number, signal: AbortSignal): Promise<Parts>;
  complete(signal: AbortSignal): Promise<Status>;
  /** The server's time, in milliseconds. */
  now(): number;
}

export type Phase = "sending" | "paused" | "waiting" | "completing" | "done";

export interface Progress {
  phase: Phase;
  /** Bytes that have arrived or are on their way, and all of them. */
  sent: number;
  total: number;
}

/** The file cannot be read any more: it was changed, moved or deleted since it was chosen. */
export class SourceChanged extends Error {}

/** The store refused this many tries in a row. */
export class UploadRefused extends Error {
  readonly status: number;

  constructor(status: number) {
    super(`upload refused: ${status}`);
    this.status = status;
  }
}

/** Parts on their way at once. A browser has six connections to one host. */
const AT_ONCE = 4;
/** Tries of one part that the store may answer with an error. */
const TRIES = 8;
/** A URL that expires sooner than this is renewed before it is used, in milliseconds. */
const MARGIN = 20_000;
/** How often the parts are listed again because the server misses some. */
const ROUNDS = 5;
/** `If-None-Match: *` did not hold: the object is there, by an earlier try whose response was lost. */
const IS_THERE = 412;

/** Thrown by a pause, which aborts what is on its way. */
const PAUSED = Symbol("paused");

export class Uploader {
  readonly #api: UploadApi;
  readonly #blob: Blob;
  readonly #put: Put;
  readonly #report: (progress: Progress) => void;
  readonly #wait: typeof untilOnline;
  #pausing = new AbortController();
  #resumed: Promise<void> | null = null;
  #resume: () => void = () => {};
  #arrived = 0;
  #underway = new Map<number, number>();
  #phase: Phase = "sending";

  constructor(
    api: UploadApi,
    blob: Blob,
    put: Put,
    report: (progress: Progress) => void,
    wait: typeof untilOnline = untilOnline,
  ) {
    [this.#api, this.#blob, this.#put, this.#report, this.#wait] = [api, blob, put, report, wait];
  }

  get phase(): Phase {
    return this.#phase;
  }

  /** Stops sending; parts on their way are sent again later. */
  pause(): void {
    if (this.#resumed !== null || this.#phase === "completing" || this.#phase === "done") return;
    this.#resumed = new Promise((resolve) => (this.#resume = resolve));
    this.#pausing.abort(PAUSED);
    this.#underway.clear();
    this.#update("paused");
  }

  resume(): void {
    if (this.#resumed === null) return;
    this.#resumed = null;
    this.#pausing = new AbortController();
    this.#update("sending");
    this.#resume();
  }

  /** Uploads the file and completes the upload. Throws the signal's reason, a {@link Problem},
   * {@link SourceChanged} or {@link UploadRefused}. */
  async run(signal: AbortSignal): Promise<Status> {
    for (let round = 1; ; round++) {
      try {
        const upload = await this.#patiently(() => this.#api.upload(signal), signal);
        if (upload.kind === "single") await this.#single(upload, signal);
        else await this.#inParts(upload, signal);
      } catch (error) {
        // It had arrived before, and the response was lost.
        if (!(error instanceof Problem && error.code === "upload.not_expected")) throw error;
      }
      this.#update("completing");
      try {
        const status = await this.#patiently(() => this.#api.complete(signal), signal);
        this.#arrived = this.#blob.size;
        this.#update("done");
        return status;
      } catch (error) {
        const isIncomplete = error instanceof Problem && error.code === "upload.incomplete";
        if (!isIncomplete || round >= ROUNDS) throw error;
      }
      this.#update("sending");
    }
  }

  async #single(upload: SingleUpload, signal: AbortSignal): Promise<void> {
    let request = upload;
    await this.#send(1, 0, this.#blob.size, signal, async (renew) => {
      if (renew || this.#isOld(request)) {
        const again = await this.#patiently(() => this.#api.upload(signal), signal);
        if (again.kind === "single") request = again;
      }
      return request;
    });
  }

  async #inParts(upload: MultipartUpload, signal: AbortSignal): Promise<void> {
    const requests = new Map<number, PartRequest>();
    const take = (parts: PartRequest[]) => parts.forEach((part) => requests.set(part.part_number, part));
    const list = (from: number) => this.#patiently(() => this.#api.parts(from, signal), signal);
    const sizeOf = (part: number) =>
      Math.min(upload.part_size_bytes, this.#blob.size - (part - 1) * upload.part_size_bytes);
    take(upload.parts);
    const listed = await list(1);
    const there = new Set(
      listed.uploaded.filter((part) => part.size_bytes === sizeOf(part.part_number)).map((part) => part.part_number),
    );
    const missing: number[] = [];
    this.#arrived = 0;
    for (let part = 1; part <= upload.part_count; part++) {
      if (there.has(part)) this.#arrived += sizeOf(part);
      else missing.push(part);
    }
    this.#update(this.#phase === "paused" ? "paused" : "sending");
    // One renewal serves all that wait for one: it brings the URLs of a hundred parts.
    let renewing: Promise<void> | null = null;
    const renewFrom = async (part: number) => {
      renewing ??= list(part).then((answer) => take(answer.parts)).finally(() => (renewing = null));
      await renewing;
      if (!requests.has(part)) take((await list(part)).parts);
    };
    const requestOf = async (part: number, renew: boolean): Promise<PartRequest> => {
      const known = requests.get(part);
      if (known !== undefined && !renew && !this.#isOld(known)) return known;
      requests.delete(part);
      await renewFrom(part);
      const request = requests.get(part);
      if (request === undefined) throw new Problem(0, { code: "upload.incomplete" });
      return request;
    };
    const failed = new AbortController();
    const both = AbortSignal.any([signal, failed.signal]);
    const sender = async () => {
      for (let part = missing.shift(); part !== undefined; part = missing.shift()) {
        const number = part;
        const from = (number - 1) * upload.part_size_bytes;
        await this.#send(number, from, sizeOf(number), both, (renew) => requestOf(number, renew));
      }
    };
    const senders = Array.from({ length: AT_ONCE }, sender);
    try {
      await Promise.all(senders);
    } catch (error) {
      // The others end before the caller may begin again.
      failed.abort(error);
      await Promise.allSettled(senders);
      throw error;
    }
  }

  /** Sends one range of the file until it has arrived. */
  async #send<R extends SingleUpload | PartRequest>(
    number: number,
    from: number,
    size: number,
    signal: AbortSignal,
    requestOf: (renew: boolean) => Promise<R>,
  ): Promise<void> {
    let renew = false;
    for (let tries = 1, cuts = 1; ; ) {
      if (this.#resumed !== null) await Promise.race([this.#resumed, aborted(signal)]);
      signal.throwIfAborted();
      const pausing = this.#pausing.signal;
      try {
        const request = await requestOf(renew);
        const body = this.#blob.slice(from, from + size);
        await this.#put(request, body, (bytes) => this.#moved(number, bytes, pausing), AbortSignal.any([signal, pausing]));
        break;
      } catch (error) {
        this.#underway.delete(number);
        if (error === PAUSED || pausing.aborted) continue;
        if (signal.aborted || !(error instanceof PutError)) throw error;
        if (error.status === IS_THERE) break;
        if (error.status === 0) {
          await this.#readable(from);
          // Not counted: a network may be away for an hour.
          this.#update("waiting");
          await this.#wait(pauseBefore(cuts++), signal);
          continue;
        }
        // A URL that has expired is answered with 403.
        renew = error.status === 403 || error.status === 400;
        if (tries++ >= TRIES) throw new UploadRefused(error.status);
        await this.#wait(pauseBefore(tries - 1), signal);
      }
    }
    this.#underway.delete(number);
    this.#arrived += size;
    this.#update("sending");
  }

  /** A file that was changed cannot be read; XMLHttpRequest reports that as it does a cut network. */
  async #readable(from: number): Promise<void> {
    try {
      await this.#blob.slice(from, from + 1).arrayBuffer();
    } catch {
      throw new SourceChanged();
    }
  }

  #isOld(request: { expires_at: string }): boolean {
    return Date.parse(request.expires_at) - this.#api.now() < MARGIN;
  }

  #patiently<T>(request: () => Promise<T>, signal: AbortSignal): Promise<T> {
    return patiently(request, signal, () => this.#update("waiting"), this.#wait);
  }

  #moved(number: number, bytes: number, pausing: AbortSignal): void {
    if (pausing.aborted) return;
    this.#underway.set(number, bytes);
    this.#update("sending");
  }

  #update(phase: Phase): void {
    this.#phase = this.#resumed !== null && phase !== "done" ? "paused" : phase;
    let sent = this.#arrived;
    for (const bytes of this.#underway.values()) sent += bytes;
    this.#report({ phase: this.#phase, sent: Math.min(sent, this.#blob.size), total: this.#blob.size });
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    else signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
