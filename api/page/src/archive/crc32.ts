// CRC-32 as ZIP has it (APPNOTE 4.4.7), four bytes at a time.

const TABLES: Uint32Array[] = [];
for (let table = 0; table < 4; table++) {
  const entries = new Uint32Array(256);
  for (let n = 0; n < 256; n++) {
    let value = table === 0 ? n : (TABLES[table - 1]?.[n] ?? 0);
    if (table === 0) for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
    else value = (value >>> 8) ^ (TABLES[0]?.[value & 0xff] ?? 0);
    entries[n] = value;
  }
  TABLES.push(entries);
}
const [T0, T1, T2, T3] = TABLES as [Uint32Array, Uint32Array, Uint32Array, Uint32Array];

/** The CRC of more bytes, after those with the CRC `crc`; 0 at the beginning. */
export function crc32(bytes: Uint8Array, crc = 0): number {
  let value = ~crc;
  let at = 0;
  // Reads beyond the end do not occur; the compiler does not know it.
  for (const end = bytes.length - 3; at < end; at += 4) {
    value ^= bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    value = T3[value & 0xff]! ^ T2[(value >>> 8) & 0xff]! ^ T1[(value >>> 16) & 0xff]! ^ T0[value >>> 24]!;
  }
  for (; at < bytes.length; at++) value = T0[(value ^ bytes[at]!) & 0xff]! ^ (value >>> 8);
  return ~value >>> 0;
}
