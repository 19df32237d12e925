// The names in a ZIP archive, for the form alone: which engines read what is in it. The server validates
// the archive; here whatever is unusual means that the names are not known.

/** Longest end of an archive: the record and its comment (APPNOTE 4.3.16). */
const TAIL = 22 + 0xffff;
/** Largest central directory that is read, in bytes. */
const DIRECTORY = 16 << 20;

async function read(blob: Blob, from: number, to: number): Promise<DataView> {
  return new DataView(await blob.slice(from, to).arrayBuffer());
}

/** Size and offset of the central directory. */
async function directory(blob: Blob): Promise<[size: number, offset: number] | null> {
  const start = Math.max(0, blob.size - TAIL);
  const tail = await read(blob, start, blob.size);
  for (let at = tail.byteLength - 22; at >= 0; at--) {
    if (tail.getUint32(at, true) !== 0x06054b50) continue;
    const [size, offset] = [tail.getUint32(at + 12, true), tail.getUint32(at + 16, true)];
    const isWide = at >= 20 && tail.getUint32(at - 20, true) === 0x07064b50;
    if (!isWide) return [size, offset];
    const record = Number(tail.getBigUint64(at - 12, true));
    const wide = await read(blob, record, record + 56);
    if (wide.byteLength < 56 || wide.getUint32(0, true) !== 0x06064b50) return null;
    return [Number(wide.getBigUint64(40, true)), Number(wide.getBigUint64(48, true))];
  }
  return null;
}

/** The names of the files in an archive; null if they cannot be read. */
export async function namesIn(blob: Blob): Promise<string[] | null> {
  try {
    const found = await directory(blob);
    if (found === null || found[0] > DIRECTORY) return null;
    const [size, offset] = found;
    const central = await read(blob, offset, offset + size);
    if (central.byteLength !== size) return null;
    const names: string[] = [];
    const text = new TextDecoder();
    for (let at = 0; at < central.byteLength; ) {
      if (central.getUint32(at, true) !== 0x02014b50) return null;
      const [name, extra, comment] = [28, 30, 32].map((field) => central.getUint16(at + field, true)) as [number, number, number];
      const path = text.decode(new Uint8Array(central.buffer, at + 46, name));
      if (!path.endsWith("/")) names.push(path);
      at += 46 + name + extra + comment;
    }
    return names;
  } catch {
    // It ends early, or cannot be read.
    return null;
  }
}
