// A text inside a PNG, in a chunk of its own (tEXt): programs that do not know it leave it alone.

const KEYWORD = "graftscope";
const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const TEXT = "tEXt";
const END_BYTES = 12;

/** Put a text of ASCII letters into a PNG, before its end. */
export function withText(png: Uint8Array<ArrayBuffer>, text: string): Uint8Array<ArrayBuffer> {
  const chunk = chunked(TEXT, new TextEncoder().encode(`${KEYWORD}\0${text}`));
  const whole = new Uint8Array(png.length + chunk.length);
  whole.set(png.subarray(0, png.length - END_BYTES));
  whole.set(chunk, png.length - END_BYTES);
  whole.set(png.subarray(png.length - END_BYTES), whole.length - END_BYTES);
  return whole;
}

/** The text in a PNG; null where there is none, or it is no PNG. */
export function textOf(bytes: Uint8Array<ArrayBuffer>): string | null {
  if (!SIGNATURE.every((each, at) => bytes[at] === each)) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const decoder = new TextDecoder("latin1");
  for (let at = SIGNATURE.length; at + END_BYTES <= bytes.length; ) {
    const length = view.getUint32(at);
    if (at + END_BYTES + length > bytes.length) return null;
    const kind = decoder.decode(bytes.subarray(at + 4, at + 8));
    const [keyword, text] = decoder.decode(bytes.subarray(at + 8, at + 8 + length)).split("\0", 2);
    if (kind === TEXT && keyword === KEYWORD && text) return text;
    at += END_BYTES + length;
  }
  return null;
}

function chunked(kind: string, data: Uint8Array): Uint8Array {
  const chunk = new Uint8Array(END_BYTES + data.length);
  const view = new DataView(chunk.buffer);
  view.setUint32(0, data.length);
  chunk.set(new TextEncoder().encode(kind), 4);
  chunk.set(data, 8);
  view.setUint32(8 + data.length, crc(chunk.subarray(4, 8 + data.length)));
  return chunk;
}

/** CRC-32 as PNG has it. */
function crc(bytes: Uint8Array): number {
  let rest = 0xffffffff;
  for (const byte of bytes) {
    rest ^= byte;
    for (let bit = 0; bit < 8; bit++) rest = rest & 1 ? (rest >>> 1) ^ 0xedb88320 : rest >>> 1;
  }
  return (rest ^ 0xffffffff) >>> 0;
}
