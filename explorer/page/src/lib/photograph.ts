// Photographs: their files on the way to the gateway, and their pixels after an edit.

import type { Pixels } from "./frames";

/** Of a photograph's file: the gateway takes no larger one. */
export const MOST_BYTES = 24 * 2 ** 20;

/** A file's bytes in base64. */
export function inBase64(file: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve((reader.result as string).split(",", 2)[1] ?? "");
    reader.onerror = () => reject(new Error("the browser cannot read it"));
    reader.readAsDataURL(file);
  });
}

/** The photograph + (hybrid − original 1), clipped: what the model cannot draw is kept. */
export function edited(photograph: Pixels, original1: Pixels, hybrid: Pixels): Pixels {
  const rgba = new Uint8ClampedArray(photograph.rgba.length);
  for (let at = 0; at < rgba.length; at++) rgba[at] = photograph.rgba[at]! + hybrid.rgba[at]! - original1.rgba[at]!;
  return { ...photograph, rgba };
}
