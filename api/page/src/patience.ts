// Waiting and retrying.

import { Problem } from "./client.ts";

/** Longest pause between two tries, in milliseconds. */
const LONGEST = 15_000;

/** Resolves after this time, in milliseconds; rejects at once when the signal is aborted. */
export function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

/** The pause before a try, in milliseconds: 1, 2, 4, 8 s and then 15 s. `tries` counts from 1. */
export function pauseBefore(tries: number): number {
  return Math.min(1000 * 2 ** (tries - 1), LONGEST);
}

/** As {@link sleep}, but ends as soon as the browser reports a network again. */
export async function untilOnline(milliseconds: number, signal?: AbortSignal): Promise<void> {
  const woken = new AbortController();
  const wake = () => woken.abort();
  globalThis.addEventListener?.("online", wake, { once: true });
  try {
    const either = signal === undefined ? woken.signal : AbortSignal.any([signal, woken.signal]);
    await sleep(milliseconds, either);
  } catch (error) {
    if (signal?.aborted) throw error;
  } finally {
    globalThis.removeEventListener?.("online", wake);
  }
}

/** Repeats a request for as long as its failure is temporary. `waiting` is called before each pause. */
export async function patiently<T>(
  request: () => Promise<T>,
  signal: AbortSignal,
  waiting: () => void = () => {},
  wait: typeof untilOnline = untilOnline,
): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await request();
    } catch (error) {
      if (signal.aborted || !(error instanceof Problem) || !error.isTemporary) throw error;
      waiting();
      const asked = error.retryAfter === null ? 0 : error.retryAfter * 1000;
      await wait(Math.max(asked, pauseBefore(tries)), signal);
    }
  }
}
