// The uploads of this page. They go on while other views are shown.

import type { Client } from "./client.ts";
import { type Memory, memory } from "./memory.ts";
import { type Put, put } from "./upload/put.ts";
import { type Progress, Uploader } from "./upload/uploader.ts";
import type { Upload } from "./wire.ts";

export class Running {
  progress: Progress;
  /** Why it ended, if it did not end well. */
  error: unknown = null;
  readonly uploader: Uploader;
  /** Called when the progress or the error changes. */
  changed: () => void = () => {};
  readonly #stop = new AbortController();

  readonly blob: Blob;

  constructor(client: Client, job: string, blob: Blob, first: Upload | null, by: Put) {
    this.blob = blob;
    this.progress = { phase: "sending", sent: 0, total: blob.size };
    let known = first;
    const api = {
      upload: async (signal: AbortSignal) => {
        const upload = known ?? (await client.upload(job, signal));
        known = null;
        return upload;
      },
      parts: (from: number, signal: AbortSignal) => client.parts(job, from, signal),
      complete: (signal: AbortSignal) => client.complete(job, signal),
      now: () => client.now(),
    };
    this.uploader = new Uploader(api, blob, by, (progress) => {
      this.progress = progress;
      this.changed();
    });
  }

  get isActive(): boolean {
    return this.error === null && !this.#stop.signal.aborted && this.progress.phase !== "done";
  }

  async run(): Promise<boolean> {
    try {
      await this.uploader.run(this.#stop.signal);
      return true;
    } catch (error) {
      if (!this.#stop.signal.aborted) this.error = error;
      return false;
    } finally {
      this.changed();
    }
  }

  stop(): void {
    this.#stop.abort();
  }
}

export class Uploads {
  readonly #running = new Map<string, Running>();
  readonly #memory: Memory;
  readonly #put: Put;

  constructor(marks: Memory = memory, by: Put = put) {
    [this.#memory, this.#put] = [marks, by];
  }

  get(job: string): Running | null {
    return this.#running.get(job) ?? null;
  }

  get isAnyActive(): boolean {
    return [...this.#running.values()].some((running) => running.isActive);
  }

  /** Begins or continues the upload of a job. `mark` is what the file is known by after a reload. */
  async begin(client: Client, job: string, blob: Blob, mark: string, first: Upload | null): Promise<Running> {
    this.stop(job);
    await this.#memory.keep(job, mark);
    const running = new Running(client, job, blob, first, this.#put);
    this.#running.set(job, running);
    void running.run().then((good) => (good ? this.#memory.forget(job) : undefined));
    return running;
  }

  /** Begins an upload again that ended with an error, with the same file. */
  async again(client: Client, job: string): Promise<Running | null> {
    const known = this.#running.get(job);
    if (known === undefined) return null;
    return this.begin(client, job, known.blob, (await this.#memory.mark(job)) ?? "", null);
  }

  /** Whether the upload of this job was begun with this very file, as far as this browser knows. */
  async isSame(job: string, mark: string): Promise<boolean> {
    return (await this.#memory.mark(job)) === mark;
  }

  stop(job: string): void {
    this.#running.get(job)?.stop();
    this.#running.delete(job);
  }

  async forget(job: string): Promise<void> {
    this.stop(job);
    await this.#memory.forget(job);
  }

  stopAll(): void {
    for (const job of [...this.#running.keys()]) this.stop(job);
  }
}
