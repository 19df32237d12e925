// What a person chose: a file, or the files of a folder.

import { type FolderFile, archiveOf, lengthOf } from "./archive/folder.ts";
import { namesIn } from "./archive/names.ts";
import { markOf } from "./memory.ts";
import { isArchive } from "./options.ts";

export interface Source {
  kind: "file" | "folder";
  /** Name of the upload. */
  name: string;
  /** Bytes of the upload. */
  size: number;
  files: FolderFile[];
}

export function ofFile(file: File): Source {
  return { kind: "file", name: file.name, size: file.size, files: [{ path: file.name, file }] };
}

export function ofFolder(files: FolderFile[]): Source {
  const top = files[0]?.path.split("/")[0] ?? "folder";
  return { kind: "folder", name: `${top}.zip`, size: lengthOf(files), files };
}

/** Whether the names of the files are within one folder. */
export function isFolder(files: FolderFile[]): boolean {
  return files.some(({ path }) => path.includes("/"));
}

export function markOfSource(source: Source): string {
  return markOf(source.size, source.files.map(({ file }) => file.lastModified));
}

/** What is uploaded. For a folder its files are read once, for their checksums. */
export async function blobOf(source: Source, read: (fraction: number) => void, signal: AbortSignal): Promise<Blob> {
  const first = source.files[0]?.file;
  if (source.kind === "file" && first !== undefined) return first;
  const all = source.files.reduce((sum, { file }) => sum + file.size, 0);
  return archiveOf(source.files, (bytes) => read(all === 0 ? 1 : bytes / all), signal);
}

/** The names that decide which engine reads the upload; null if they are not known. */
export async function contentsOf(source: Source): Promise<string[] | null> {
  const first = source.files[0];
  if (source.kind === "folder" || first === undefined) return source.files.map(({ path }) => path);
  return isArchive(source.name) ? namesIn(first.file) : [source.name];
}
