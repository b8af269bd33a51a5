// A region as a picture that `graftscope find --region` reads.

import { insideOf, type Region } from "./region";

/** White inside, black outside, in the picture's own size. */
export async function maskFile(region: Region): Promise<Blob> {
  const { height, width } = region;
  const rgba = new Uint8ClampedArray(4 * height * width);
  insideOf(region).forEach((each, at) => rgba.set([255 * each, 255 * each, 255 * each, 255], 4 * at));
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d")!.putImageData(new ImageData(rgba, width, height), 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}
