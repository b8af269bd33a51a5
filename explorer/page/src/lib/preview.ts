// Previews of hybrids that take long: blends of pictures that are known, along the weight that is
// being dragged.

import type { Pixels } from "./frames";
import type { Assigned } from "./state";

const MOST = 48;
const MOST_BYTES = 64 * 2 ** 20;

/** What a picture is made of: its originals in one text, and what is grafted. */
export interface Asked {
  originals: string;
  steps: readonly Assigned[];
}

interface Known {
  originals: string;
  weights: Map<string, number>;
  pixels: Pixels;
}

export class Previews {
  private known: Known[] = [];

  /** Note what a picture looks like. */
  remember({ originals, steps }: Asked, pixels: Pixels): void {
    const weights = weightsOf(steps);
    const others = this.known.filter((each) => each.originals !== originals || differing(each.weights, weights).length > 0);
    this.known = [...others, { originals, weights, pixels }].slice(-Math.max(2, Math.min(MOST, Math.floor(MOST_BYTES / pixels.rgba.length))));
  }

  /**
   * Draw a picture from two known ones that differ from it in one weight alone: exact where the
   * model is linear in that weight. Null where there are no such two.
   */
  of({ originals, steps }: Asked): Pixels | null {
    const wanted = weightsOf(steps);
    const there = this.known.filter((each) => each.originals === originals);
    for (const name of new Set([...wanted.keys(), ...(there.at(-1)?.weights.keys() ?? [])])) {
      const along = there.filter(({ weights }) => differing(weights, wanted).every((each) => each === name));
      const drawn = blended(along, name, wanted.get(name) ?? 0);
      if (drawn) return drawn;
    }
    return null;
  }
}

function weightsOf(steps: readonly Assigned[]): Map<string, number> {
  return new Map(steps.map(({ layer, channels, weight }) => [`${layer} ${channels}`, weight]));
}

/** Which channels have other weights in two pictures; those that are not named have weight 0. */
function differing(one: Map<string, number>, other: Map<string, number>): string[] {
  return [...new Set([...one.keys(), ...other.keys()])].filter((name) => (one.get(name) ?? 0) !== (other.get(name) ?? 0));
}

function blended(along: readonly Known[], name: string, weight: number): Pixels | null {
  const away = (each: Known): number => Math.abs((each.weights.get(name) ?? 0) - weight);
  const [near, far] = along.toSorted((one, other) => away(one) - away(other));
  if (!near || !far) return null;
  const [from, to] = [near.weights.get(name) ?? 0, far.weights.get(name) ?? 0];
  const share = (weight - from) / (to - from);
  const rgba = new Uint8ClampedArray(near.pixels.rgba.length);
  for (let at = 0; at < rgba.length; at++) {
    const before = near.pixels.rgba[at]!;
    rgba[at] = before + share * (far.pixels.rgba[at]! - before);
  }
  return { ...near.pixels, rgba };
}
