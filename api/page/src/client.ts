// Requests to the API. The token lives in this object and nowhere else: neither in a store of the
// browser, nor in a URL.

import type { Audit, Created, Engine, JobPage, Order, Parts, Status, Upload } from "./wire.ts";

/** Code of a request that got no response. */
export const NETWORK = "page.network";

/** A failure that the API reports (RFC 9457), or a request without a response. */
export class Problem extends Error {
  readonly status: number;
  readonly code: string;
  readonly detail: string;
  /** In seconds; null if the server names no time. */
  readonly retryAfter: number | null;
  readonly details: Record<string, unknown>;

  constructor(status: number, body: Record<string, unknown>, retryAfter: number | null = null) {
    const code = typeof body["code"] === "string" ? body["code"] : "server.unavailable";
    super(code);
    this.status = status;
    this.code = code;
    this.detail = typeof body["detail"] === "string" ? body["detail"] : "";
    this.retryAfter = retryAfter;
    this.details = body;
  }

  /** Whether the same request can succeed a little later. */
  get isTemporary(): boolean {
    return this.status === 0 || this.status === 429 || this.status === 502 || this.status === 503 || this.status === 504;
  }
}

const PROBLEM = /^application\/problem\+json/;

export class Client {
  #token: string | null;
  /** How far the server's clock is ahead of ours, in milliseconds. */
  #ahead = 0;
  /** Whether the server has event streams; unknown until one was asked for. */
  hasStreams = true;

  constructor(token: string | null) {
    this.#token = token;
  }

  /** The server's time, in milliseconds, as far as the header `Date` says it. */
  now(): number {
    return Date.now() + this.#ahead;
  }

  /** Removes the token: later requests have none. */
  forget(): void {
    this.#token = null;
  }

  /** Whether an error says that the token is not accepted. */
  isRefused(error: unknown): boolean {
    return error instanceof Problem && error.status === 401;
  }

  /** The response of the API, if it is a good one or 304. Throws a {@link Problem} otherwise. */
  async request(method: string, path: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    if (this.#token !== null) headers.set("authorization", `Bearer ${this.#token}`);
    let response: Response;
    try {
      response = await fetch(path, { ...init, method, headers, cache: "no-store", credentials: "omit", redirect: "error" });
    } catch (error) {
      if (init.signal?.aborted) throw error;
      throw new Problem(0, { code: NETWORK });
    }
    const date = Date.parse(response.headers.get("date") ?? "");
    if (!Number.isNaN(date)) this.#ahead = date - Date.now();
    if (response.ok || response.status === 304) return response;
    const after = Number.parseInt(response.headers.get("retry-after") ?? "", 10);
    const isProblem = PROBLEM.test(response.headers.get("content-type") ?? "");
    const body: unknown = isProblem ? await response.json().catch(() => ({})) : {};
    const known = typeof body === "object" && body !== null ? (body as Record<string, unknown>) : {};
    throw new Problem(response.status, known, Number.isNaN(after) ? null : after);
  }

  async #json<T>(method: string, path: string, signal?: AbortSignal | null, body?: unknown): Promise<T> {
    const init: RequestInit = { signal: signal ?? null };
    if (body !== undefined) {
      init.body = JSON.stringify(body);
      init.headers = { "content-type": "application/json" };
    }
    const response = await this.request(method, path, init);
    try {
      return (await response.json()) as T;
    } catch (error) {
      if (signal?.aborted) throw error;
      // The connection was cut within the body.
      throw new Problem(0, { code: NETWORK });
    }
  }

  formats(): Promise<Engine[]> {
    return this.#json("GET", "/api/formats");
  }

  create(order: Order, signal?: AbortSignal): Promise<Created> {
    return this.#json("POST", "/api/jobs", signal, order);
  }

  jobs(page: string | null, limit = 20): Promise<JobPage> {
    const from = page === null ? "" : `&page=${encodeURIComponent(page)}`;
    return this.#json("GET", `/api/jobs?limit=${limit}${from}`);
  }

  status(id: string, signal?: AbortSignal): Promise<Status> {
    return this.#json("GET", `/api/jobs/${id}/status`, signal);
  }

  upload(id: string, signal?: AbortSignal): Promise<Upload> {
    return this.#json("GET", `/api/jobs/${id}/uploads`, signal);
  }

  parts(id: string, from: number, signal?: AbortSignal): Promise<Parts> {
    return this.#json("GET", `/api/jobs/${id}/uploads/parts?from=${from}`, signal);
  }

  complete(id: string, signal?: AbortSignal): Promise<Status> {
    return this.#json("POST", `/api/jobs/${id}/uploads/complete`, signal);
  }

  async abortUpload(id: string): Promise<void> {
    await this.request("POST", `/api/jobs/${id}/uploads/abort`);
  }

  /** Cancels a job that has not ended, and deletes the files of one that has. */
  end(id: string): Promise<Status> {
    return this.#json("DELETE", `/api/jobs/${id}`);
  }

  audit(id: string): Promise<Audit> {
    return this.#json("GET", `/api/jobs/${id}/audit`);
  }
}

/** A random UUID, version 4. `crypto.randomUUID` exists on secure origins only. */
export function newJobId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
