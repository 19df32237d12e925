// A folder as one archive: the checksums of its files are read first, piece by piece.

import { SourceChanged } from "../upload/uploader.ts";
import { crc32 } from "./crc32.ts";
import { type Entry, archive, frame } from "./zip.ts";

/** A file with its path within the folder. */
export interface FolderFile {
  path: string;
  file: File;
}

/** Files that systems put beside others, and that are no data. */
const LITTER = /(^|\/)(\.DS_Store|Thumbs\.db|desktop\.ini|__MACOSX\/.*|\._[^/]*)$/;

/** The files of an input for folders, in the order of their paths. */
export function filesOf(list: Iterable<File>): FolderFile[] {
  const files = Array.from(list, (file) => ({ path: file.webkitRelativePath || file.name, file }));
  return files.filter(({ path }) => !LITTER.test(path)).sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
}

function entryOf({ path, file }: FolderFile, crc: number): Entry {
  return { name: path, size: file.size, modified: file.lastModified, crc };
}

/** Length of the archive of these files, in bytes. It depends on their names and sizes alone. */
export function lengthOf(files: FolderFile[]): number {
  return frame(files.map((file) => entryOf(file, 0))).length;
}

/** Bytes read between two returns to the browser. */
const PIECE = 4 << 20;

/** The archive of these files. `read` is called with the bytes read so far. */
export async function archiveOf(
  files: FolderFile[],
  read: (bytes: number) => void,
  signal: AbortSignal,
): Promise<Blob> {
  let done = 0;
  const members: { entry: Entry; content: Blob }[] = [];
  for (const one of files) {
    let crc = 0;
    for (let at = 0; at < one.file.size; at += PIECE) {
      signal.throwIfAborted();
      let bytes: Uint8Array;
      try {
        bytes = new Uint8Array(await one.file.slice(at, at + PIECE).arrayBuffer());
      } catch {
        throw new SourceChanged();
      }
      crc = crc32(bytes, crc);
      read((done += bytes.length));
    }
    members.push({ entry: entryOf(one, crc), content: one.file });
  }
  return archive(members);
}

/** The files of folders and files that were dropped, with directories read to their end. */
export async function dropped(items: DataTransferItemList): Promise<FolderFile[]> {
  // Entries are there during the event only.
  const entries = Array.from(items, (item) => item.webkitGetAsEntry?.() ?? null);
  const files: FolderFile[] = [];
  for (const entry of entries) if (entry !== null) await collect(entry, files);
  return files.filter(({ path }) => !LITTER.test(path)).sort((a, b) => (a.path < b.path ? -1 : 1));
}

async function collect(entry: FileSystemEntry, into: FolderFile[]): Promise<void> {
  const path = entry.fullPath.replace(/^\//, "");
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
    into.push({ path, file });
    return;
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  for (;;) {
    // At most a hundred at a time.
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return;
    for (const one of some) await collect(one, into);
  }
}
