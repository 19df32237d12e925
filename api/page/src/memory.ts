// What the browser keeps of an upload in progress: the job's id and a mark of the file, so that an
// upload goes on with the very file that it began with. No name, no URL and no token is kept.

import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";

const DATABASE = "cadmill";
const UPLOADS = "uploads";

/** A store of marks by job id. */
export interface Memory {
  keep(job: string, mark: string): Promise<void>;
  mark(job: string): Promise<string | null>;
  forget(job: string): Promise<void>;
}

function open(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(UPLOADS);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function use<T>(mode: IDBTransactionMode, act: (store: IDBObjectStore) => IDBRequest<T>): Promise<T | null> {
  try {
    const database = await open();
    try {
      return await new Promise((resolve, reject) => {
        const transaction = database.transaction(UPLOADS, mode);
        const request = act(transaction.objectStore(UPLOADS));
        transaction.oncomplete = () => resolve(request.result);
        transaction.onabort = () => reject(transaction.error);
      });
    } finally {
      database.close();
    }
  } catch {
    // A private window may have no store: then an upload begins again after a reload.
    return null;
  }
}

export const memory: Memory = {
  async keep(job, mark) {
    await use("readwrite", (store) => store.put(mark, job));
  },
  async mark(job) {
    const found: unknown = await use("readonly", (store) => store.get(job));
    return typeof found === "string" ? found : null;
  },
  async forget(job) {
    await use("readwrite", (store) => store.delete(job));
  },
};

/** What an upload was begun with. The name does not matter, the content does. */
export function markOf(size: number, modified: number[]): string {
  return bytesToHex(sha256(new TextEncoder().encode(`${size} ${modified.join(" ")}`)));
}
