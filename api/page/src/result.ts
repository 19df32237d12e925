// Downloads a result and checks it before it is offered. The pieces become Blobs as they arrive, which
// the browser may keep on its disk: the result is never whole in the page's memory.

import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import type { Download } from "./wire.ts";

export interface Checked {
  blob: Blob;
  /** Of what arrived, in hexadecimal. */
  sha256: string;
  /** Whether the server knew the digest, so that it could be compared. */
  compared: boolean;
}

/** The result cannot be downloaded: the HTTP status, or 0 without a response. */
export class DownloadFailed extends Error {
  readonly status: number;

  constructor(status: number) {
    super(`download ${status}`);
    this.status = status;
  }
}

/** What arrived is not the result. */
export class NotTheResult extends Error {}

/** Bytes that are collected before they become a Blob. */
const PIECE = 8 << 20;

/** Downloads the result, compares its size and its SHA-256, and returns it. */
export async function fetchChecked(
  download: Download,
  received: (bytes: number) => void,
  signal: AbortSignal,
): Promise<Checked> {
  let response: Response;
  try {
    response = await fetch(download.url, {
      method: download.method,
      headers: download.headers,
      signal,
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      referrerPolicy: "no-referrer",
    });
  } catch (error) {
    if (signal.aborted) throw error;
    throw new DownloadFailed(0);
  }
  if (!response.ok || response.body === null) throw new DownloadFailed(response.status);
  const digest = sha256.create();
  const pieces: Blob[] = [];
  let [some, size, total] = [[] as Uint8Array<ArrayBuffer>[], 0, 0];
  const reader = response.body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      digest.update(value);
      some.push(value);
      size += value.length;
      total += value.length;
      if (total > download.size_bytes) throw new NotTheResult();
      if (size >= PIECE) {
        pieces.push(new Blob(some));
        [some, size] = [[], 0];
      }
      received(total);
    }
  } catch (error) {
    if (signal.aborted || error instanceof NotTheResult) throw error;
    throw new DownloadFailed(0);
  } finally {
    await reader.cancel().catch(() => {});
  }
  pieces.push(new Blob(some));
  const found = bytesToHex(digest.digest());
  if (total !== download.size_bytes) throw new NotTheResult();
  if (download.sha256 !== null && found !== download.sha256) throw new NotTheResult();
  return { blob: new Blob(pieces), sha256: found, compared: download.sha256 !== null };
}
