// A ZIP archive of stored files, with zip64 records where a number needs them (APPNOTE 4.3, 4.5.3).
//
// Sizes and checksums stand before the content, not behind it: the server refuses stored entries
// whose length follows them, because readers find other ends. So the length of the archive depends on
// names and sizes alone, and the archive is a list of headers and files: a Blob of them refers to the
// files, and the browser reads those while it sends.

/** A file of the archive. */
export interface Entry {
  /** Relative, with `/` between directories. */
  name: string;
  /** In bytes. */
  size: number;
  /** In milliseconds since 1970. */
  modified: number;
  crc: number;
}

/** What lies around the files: a header before each, and the central directory behind them. */
export interface Frame {
  headers: Uint8Array<ArrayBuffer>[];
  tail: Uint8Array<ArrayBuffer>;
  /** Of the whole archive, in bytes. */
  length: number;
}

/** Values from which a number does not fit its field; tests lower them. */
export interface Wide {
  bytes: number;
  entries: number;
}

const WIDE: Wide = { bytes: 0xffff_ffff, entries: 0xffff };
const LOCAL = 0x04034b50;
const CENTRAL = 0x02014b50;
const END64 = 0x06064b50;
const LOCATOR64 = 0x07064b50;
const END = 0x06054b50;
/** Names are in UTF-8. */
const UTF8 = 1 << 11;
const ZIP64 = 0x0001;

/** Little-endian numbers, one after the other. */
class Writer {
  #bytes: number[] = [];

  u16(value: number): this {
    this.#bytes.push(value & 0xff, (value >>> 8) & 0xff);
    return this;
  }

  u32(value: number): this {
    return this.u16(value & 0xffff).u16(value >>> 16);
  }

  u64(value: number): this {
    return this.u32(value % 2 ** 32 >>> 0).u32(Math.floor(value / 2 ** 32));
  }

  all(bytes: Uint8Array): this {
    for (const byte of bytes) this.#bytes.push(byte);
    return this;
  }

  get length(): number {
    return this.#bytes.length;
  }

  done(): Uint8Array<ArrayBuffer> {
    return Uint8Array.from(this.#bytes);
  }
}

/** Date and time of MS-DOS, in UTC, so that an archive does not depend on where it is made. */
function dosTime(milliseconds: number): [time: number, date: number] {
  const at = new Date(Math.min(Math.max(milliseconds, Date.UTC(1980, 0, 1)), Date.UTC(2107, 11, 31)));
  const time = (at.getUTCHours() << 11) | (at.getUTCMinutes() << 5) | (at.getUTCSeconds() >> 1);
  return [time, ((at.getUTCFullYear() - 1980) << 9) | ((at.getUTCMonth() + 1) << 5) | at.getUTCDate()];
}

/** The zip64 field of these numbers; empty if there are none. */
function zip64(numbers: number[]): Uint8Array {
  if (numbers.length === 0) return new Uint8Array();
  const field = new Writer().u16(ZIP64).u16(numbers.length * 8);
  for (const number of numbers) field.u64(number);
  return field.done();
}

/** What both headers of an entry have in common, up to the length of its extra field. */
function common(into: Writer, entry: Entry, name: Uint8Array, wide: boolean, needsWide: boolean): Writer {
  const [time, date] = dosTime(entry.modified);
  const size = wide ? 0xffff_ffff : entry.size;
  into.u16(needsWide ? 45 : 20).u16(UTF8).u16(0).u16(time).u16(date);
  return into.u32(entry.crc).u32(size).u32(size).u16(name.length);
}

/** The frame of an archive of these files, in this order. */
export function frame(entries: Entry[], limits: Wide = WIDE): Frame {
  const text = new TextEncoder();
  const headers: Uint8Array<ArrayBuffer>[] = [];
  const central = new Writer();
  let offset = 0;
  for (const entry of entries) {
    const name = text.encode(entry.name);
    const wide = entry.size >= limits.bytes;
    const sizes = wide ? [entry.size, entry.size] : [];
    const local = common(new Writer().u32(LOCAL), entry, name, wide, wide);
    const field = zip64(sizes);
    headers.push(local.u16(field.length).all(name).all(field).done());

    const far = offset >= limits.bytes;
    const extra = zip64(far ? [...sizes, offset] : sizes);
    common(central.u32(CENTRAL).u16(45), entry, name, wide, wide || far);
    // No comment, the first disk, and no attributes of a system.
    central.u16(extra.length).u16(0).u16(0).u16(0).u32(0);
    central.u32(far ? 0xffff_ffff : offset).all(name).all(extra);
    offset += (headers.at(-1)?.length ?? 0) + entry.size;
  }
  const size = central.length;
  const count = entries.length;
  const many = count >= limits.entries;
  const [large, far] = [size >= limits.bytes, offset >= limits.bytes];
  if (many || large || far) {
    // 44 bytes follow the field of the record's own size.
    central.u32(END64).u64(44).u16(45).u16(45).u32(0).u32(0).u64(count).u64(count).u64(size).u64(offset);
    central.u32(LOCATOR64).u32(0).u64(offset + size).u32(1);
  }
  const entriesField = many ? 0xffff : count;
  central.u32(END).u16(0).u16(0).u16(entriesField).u16(entriesField);
  central.u32(large ? 0xffff_ffff : size).u32(far ? 0xffff_ffff : offset).u16(0);
  const tail = central.done();
  return { headers, tail, length: offset + tail.length };
}

/** The archive of these files: a Blob that refers to their contents. */
export function archive(files: { entry: Entry; content: Blob }[]): Blob {
  const { headers, tail } = frame(files.map((file) => file.entry));
  const pieces: BlobPart[] = files.flatMap(({ content }, n) => [headers[n] ?? new Uint8Array(), content]);
  return new Blob([...pieces, tail]);
}
