// How much of a change falls outside the part of the picture that was meant.

import type { Pixels } from "./frames";

export interface Spill {
  /** Σ outside |hybrid − original 1| ÷ Σ everywhere, of the 8-bit pictures; null where nothing has changed. */
  outside: number | null;
  /** The share of the picture's pixels that is outside. */
  area: number;
  /** The mean over pixels inside, and colours, of |hybrid − original 1|, as a share of the range. */
  inside: number;
}

/** `inside` is 1 for each pixel of the region, 0 for those outside; at least one is inside. */
export function spill(original1: Pixels, hybrid: Pixels, inside: Uint8Array): Spill {
  const [sums, counts] = [[0, 0], [0, 0]];
  inside.forEach((part, at) => {
    counts[part]! += 1;
    for (let colour = 0; colour < 3; colour++) sums[part]! += Math.abs(hybrid.rgba[4 * at + colour]! - original1.rgba[4 * at + colour]!);
  });
  const [outside, within] = sums as [number, number];
  const all = outside + within;
  return { outside: all > 0 ? outside / all : null, area: counts[0]! / inside.length, inside: within / (3 * 255 * counts[1]!) };
}
