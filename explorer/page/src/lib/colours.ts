// Colours of amounts and of modules, those of the report and its figures.

import type { Pixels } from "./frames";

type Colour = [number, number, number];

const MAGMA: Colour[] = [[0, 0, 4], [28, 16, 68], [79, 18, 123], [129, 37, 129], [181, 54, 122], [229, 80, 100], [251, 135, 97], [254, 194, 135], [252, 253, 191]];
const VIRIDIS: Colour[] = [[68, 1, 84], [72, 40, 120], [62, 74, 137], [49, 104, 142], [38, 130, 142], [31, 158, 137], [53, 183, 121], [109, 205, 89], [253, 231, 37]];
const MODULES = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#7d7d7d", "#d9c800"];
const CHOSEN = "#7a4fbf";

/** As `graftscope.client.figures` has it; after eight the colours come again. */
export function moduleColour(module: number): string {
  return MODULES[module % MODULES.length]!;
}

/** That of a step's module, or of channels that were chosen otherwise. */
export function stepColour({ module }: { module: number | null }): string {
  return module === null ? CHOSEN : moduleColour(module);
}

/** Black or white: what is read better on a colour, `#rrggbb`. */
export function inkOn(colour: string): string {
  const [red, green, blue] = [1, 3, 5].map((at) => (Number.parseInt(colour.slice(at, at + 2), 16) / 255) ** 2.2);
  const light = 0.2126 * red! + 0.7152 * green! + 0.0722 * blue!;
  // Where black and white stand out alike.
  return light > 0.179 ? "#000" : "#fff";
}

function coloured(scale: Colour[]): Uint8Array {
  const table = new Uint8Array(3 * 256);
  for (let level = 0; level < 256; level++) {
    const place = (level / 255) * (scale.length - 1);
    const at = Math.min(scale.length - 2, Math.floor(place));
    for (let channel = 0; channel < 3; channel++) {
      const [low, high] = [scale[at]![channel]!, scale[at + 1]![channel]!];
      table[3 * level + channel] = Math.round(low + (high - low) * (place - at));
    }
  }
  return table;
}

const CHANGES = coloured(MAGMA);
const TEMPLATES = coloured(VIRIDIS);

export const CHANGE_SCALE = `linear-gradient(90deg, ${MAGMA.map((each) => `rgb(${each.join(" ")})`).join(", ")})`;

/** Levels, as the red of pixels, in the colours of changes; those below `scale` 1 are darkened to it. */
export function change(levels: Uint8ClampedArray, scale = 1): Uint8ClampedArray<ArrayBuffer> {
  const rgba = new Uint8ClampedArray(levels.length);
  for (let at = 0; at < levels.length; at += 4) {
    const from = 3 * Math.round(scale * levels[at]!);
    rgba[at] = CHANGES[from]!;
    rgba[at + 1] = CHANGES[from + 1]!;
    rgba[at + 2] = CHANGES[from + 2]!;
    rgba[at + 3] = 255;
  }
  return rgba;
}

export function template(grey: Pixels): Pixels {
  const rgba = new Uint8ClampedArray(grey.rgba);
  for (let at = 0; at < rgba.length; at += 4) rgba.set(TEMPLATES.subarray(3 * grey.rgba[at]!, 3 * grey.rgba[at]! + 3), at);
  return { ...grey, rgba };
}

export interface Difference {
  pixels: Pixels;
  /** Over pixels and colours, as a share of the range. */
  mean: number;
  largest: number;
}

/** Where and how much two pictures differ: each pixel's mean over colours, brightest where it is most. */
export function difference(one: Pixels, other: Pixels): Difference {
  const count = one.width * one.height;
  const amounts = new Float32Array(count);
  let [sum, largest] = [0, 0];
  for (let at = 0; at < count; at++) {
    const from = 4 * at;
    const red = Math.abs(one.rgba[from]! - other.rgba[from]!);
    const green = Math.abs(one.rgba[from + 1]! - other.rgba[from + 1]!);
    const blue = Math.abs(one.rgba[from + 2]! - other.rgba[from + 2]!);
    const amount = (red + green + blue) / 765;
    amounts[at] = amount;
    sum += amount;
    largest = Math.max(largest, amount);
  }
  const rgba = new Uint8ClampedArray(4 * count);
  for (let at = 0; at < count; at++) {
    const level = largest > 0 ? Math.round((255 * amounts[at]!) / largest) : 0;
    const share = level / 255;
    const from = 4 * at;
    // The picture stays to be seen, faintly, where nothing changes.
    const grey = (0.3 * (one.rgba[from]! + one.rgba[from + 1]! + one.rgba[from + 2]!)) / 3;
    for (let channel = 0; channel < 3; channel++) {
      rgba[from + channel] = share * CHANGES[3 * level + channel]! + (1 - share) * grey;
    }
    rgba[from + 3] = 255;
  }
  return { pixels: { width: one.width, height: one.height, rgba }, mean: sum / count, largest };
}
