// What the gateway says, from bytes to values.

export interface Described {
  name: string;
  bytes: number;
  height?: number;
  width?: number;
  colours?: number;
  /** Whether it is handed on unread. */
  file?: boolean;
}

/** Pixels row by row, four bytes each: red, green, blue, opacity. */
export interface Pixels {
  width: number;
  height: number;
  rgba: Uint8ClampedArray<ArrayBuffer>;
}

export interface Heard {
  id: number;
  fields: Record<string, unknown>;
  images: Map<string, Pixels>;
  files: Map<string, Uint8Array<ArrayBuffer>>;
}

export async function heard(data: string | ArrayBuffer): Promise<Heard> {
  if (typeof data === "string") return told(data, new Map(), new Map());
  const length = new DataView(data).getUint32(0, true);
  const head = new TextDecoder().decode(new Uint8Array(data, 4, length));
  const described = (JSON.parse(head) as { images: Described[] }).images;
  const images = new Map<string, Pixels>();
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  let at = 4 + length;
  for (const each of described) {
    const bytes = new Uint8Array(data, at, each.bytes);
    if (each.file) files.set(each.name, bytes);
    else images.set(each.name, await pixels(each, bytes));
    at += each.bytes;
  }
  return told(head, images, files);
}

function told(text: string, images: Heard["images"], files: Heard["files"]): Heard {
  const { id, ...fields } = JSON.parse(text) as { id: number };
  return { id, fields, images, files };
}

async function pixels(described: Described, bytes: Uint8Array<ArrayBuffer>): Promise<Pixels> {
  const { width, height, colours } = described;
  if (!width || !height || !colours) return fromFile(bytes);
  const rgba = new Uint8ClampedArray(4 * width * height);
  for (let from = 0, to = 0; from < bytes.length; from += colours, to += 4) {
    rgba[to] = bytes[from]!;
    rgba[to + 1] = bytes[colours < 3 ? from : from + 1]!;
    rgba[to + 2] = bytes[colours < 3 ? from : from + 2]!;
    rgba[to + 3] = colours === 4 ? bytes[from + 3]! : 255;
  }
  return { width, height, rgba };
}

async function fromFile(bytes: Uint8Array<ArrayBuffer>): Promise<Pixels> {
  // Levels are to stay what they are.
  const options: ImageBitmapOptions = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
  const bitmap = await createImageBitmap(new Blob([bytes]), options);
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d")!;
  context.drawImage(bitmap, 0, 0);
  return { width, height, rgba: context.getImageData(0, 0, width, height).data };
}
