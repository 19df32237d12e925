// One presigned PUT, by XMLHttpRequest: fetch does not report what was sent.

import type { UploadRequest } from "../wire.ts";

/** A PUT that failed. */
export class PutError extends Error {
  /** The HTTP status; 0 if there was no response, which a cut network and CORS look like. */
  readonly status: number;

  constructor(status: number) {
    super(`put ${status}`);
    this.status = status;
  }
}

/** How a part is sent. Rejects with a {@link PutError}, or with the reason of the signal. */
export type Put = (
  request: UploadRequest,
  body: Blob,
  sent: (bytes: number) => void,
  signal: AbortSignal,
) => Promise<void>;

/** A connection on which nothing moves for this long is given up, in milliseconds. */
const SILENCE = 60_000;

export const put: Put = (request, body, sent, signal) =>
  new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const xhr = new XMLHttpRequest();
    let timer: ReturnType<typeof setTimeout>;
    const stop = () => xhr.abort();
    const moved = () => {
      clearTimeout(timer);
      timer = setTimeout(stop, SILENCE);
    };
    const end = (act: () => void) => () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
      act();
    };
    const failed = end(() => reject(signal.aborted ? signal.reason : new PutError(0)));
    xhr.upload.onprogress = (event) => {
      moved();
      sent(event.loaded);
    };
    xhr.onload = end(() => {
      if (xhr.status >= 200 && xhr.status < 300) resolve();
      else reject(new PutError(xhr.status));
    });
    xhr.onerror = failed;
    xhr.onabort = failed;
    signal.addEventListener("abort", stop, { once: true });
    xhr.open(request.method, request.url);
    for (const [name, value] of Object.entries(request.headers)) xhr.setRequestHeader(name, value);
    moved();
    xhr.send(body);
  });
