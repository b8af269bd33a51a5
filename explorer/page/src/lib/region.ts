// A part of the picture: a rectangle, or pixels that were brushed.

import { list, record, StateError, whole } from "./checks";

const MOST_PIXELS = 2 ** 24;
export const MOST_RUNS = 20_000;

export interface Size {
  height: number;
  width: number;
}

/** Of a rectangle: the rows above it, the columns left of it, its rows and its columns. */
export type Sides = [top: number, left: number, height: number, width: number];

/** Of pictures of one size. Runs are pixels outside and inside in turn, row by row. */
export type Region = Size & ({ rectangle: Sides } | { runs: number[] });

export interface Point {
  x: number;
  y: number;
}

/** Read a region, which old addresses do not have. */
export function regionOf(value: unknown): Region | null {
  if (value === undefined || value === null) return null;
  const of = record(value, "the region");
  const height = whole(of.height, "the region's picture", 1, MOST_PIXELS);
  const width = whole(of.width, "the region's picture", 1, MOST_PIXELS / height);
  if (of.rectangle !== undefined) {
    const sides = list(of.rectangle, "the rectangle", 4).map((each) => whole(each, "a side of the rectangle", 0, MOST_PIXELS));
    const [top, left, rows, columns] = sides;
    if (sides.length !== 4 || !rows || !columns || top! + rows > height || left! + columns > width) {
      throw new StateError(`the rectangle ${sides.join(", ")} is not within ${height} × ${width} pixels`);
    }
    return { height, width, rectangle: [top!, left!, rows, columns] };
  }
  const runs = list(of.runs, "the brushed region", MOST_RUNS).map((each) => whole(each, "a run of pixels", 0, MOST_PIXELS));
  const total = runs.reduce((sum, run) => sum + run, 0);
  if (total !== height * width) throw new StateError(`the brushed region is of ${total} pixels, and its picture of ${height * width}`);
  return { height, width, runs };
}

export function fits(region: Region, { height, width }: Size): boolean {
  return region.height === height && region.width === width;
}

/** 1 for each pixel inside, 0 outside, row by row. */
export function insideOf(region: Region): Uint8Array {
  const inside = new Uint8Array(region.height * region.width);
  if ("rectangle" in region) {
    const [top, left, height, width] = region.rectangle;
    for (let row = top; row < top + height; row++) inside.fill(1, row * region.width + left, row * region.width + left + width);
    return inside;
  }
  let at = 0;
  region.runs.forEach((run, index) => {
    if (index % 2) inside.fill(1, at, at + run);
    at += run;
  });
  return inside;
}

/** The region of pixels that were brushed; null where there are none. */
export function brushed(inside: Uint8Array, { height, width }: Size): Region | null {
  const runs = [0];
  for (const each of inside) {
    if (each !== (runs.length - 1) % 2) runs.push(0);
    runs[runs.length - 1]! += 1;
  }
  return runs.length > 1 ? { height, width, runs } : null;
}

/** The rectangle of which two pixels are opposite corners. */
export function between(size: Size, one: Point, other: Point): Region {
  const [left, top] = [Math.min(one.x, other.x), Math.min(one.y, other.y)];
  const [width, height] = [Math.abs(one.x - other.x) + 1, Math.abs(one.y - other.y) + 1];
  return { height: size.height, width: size.width, rectangle: [top, left, height, width] };
}

/** A rectangle in the middle, from which one goes on. */
export function middle({ height, width }: Size): Region {
  const [rows, columns] = [Math.ceil(height / 4), Math.ceil(width / 4)];
  return { height, width, rectangle: [Math.floor((height - rows) / 2), Math.floor((width - columns) / 2), rows, columns] };
}

/** A rectangle moved, or made larger to the right and below, as far as the picture goes. */
export function moved(region: Size & { rectangle: Sides }, across: number, down: number): Region {
  const [top, left, height, width] = region.rectangle;
  const rectangle: Sides = [within(top + down, 0, region.height - height), within(left + across, 0, region.width - width), height, width];
  return { ...region, rectangle };
}

export function resized(region: Size & { rectangle: Sides }, across: number, down: number): Region {
  const [top, left, height, width] = region.rectangle;
  const rectangle: Sides = [top, left, within(height + down, 1, region.height - top), within(width + across, 1, region.width - left)];
  return { ...region, rectangle };
}

/** Pixels with those of a stroke from one to another inside, or outside; a brush is a disc. */
export function stroked(inside: Uint8Array, size: Size, from: Point, to: Point, brush: number, value: 0 | 1): Uint8Array {
  const painted = inside.slice();
  const steps = Math.max(1, Math.abs(to.x - from.x), Math.abs(to.y - from.y));
  for (let step = 0; step <= steps; step++) {
    const at = (one: number, other: number): number => Math.round(one + ((other - one) * step) / steps);
    dab(painted, size, { x: at(from.x, to.x), y: at(from.y, to.y) }, brush, value);
  }
  return painted;
}

function dab(inside: Uint8Array, { height, width }: Size, centre: Point, brush: number, value: 0 | 1): void {
  const reach = Math.floor(brush / 2);
  for (let y = Math.max(0, centre.y - reach); y <= Math.min(height - 1, centre.y + reach); y++) {
    for (let x = Math.max(0, centre.x - reach); x <= Math.min(width - 1, centre.x + reach); x++) {
      if ((x - centre.x) ** 2 + (y - centre.y) ** 2 <= (brush / 2) ** 2) inside[y * width + x] = value;
    }
  }
}

/** The edges between pixels inside and outside, as a path of an SVG in pixels of the picture. */
export function outline(inside: Uint8Array, { height, width }: Size): string {
  const parts: string[] = [];
  const is = (x: number, y: number): boolean => x >= 0 && y >= 0 && x < width && y < height && inside[y * width + x] === 1;
  const edges = (lines: number, length: number, differs: (line: number, at: number) => boolean, path: (line: number, from: number, to: number) => string): void => {
    for (let line = 0; line <= lines; line++) {
      for (let at = 0; at < length; at++) {
        if (!differs(line, at)) continue;
        const from = at;
        while (at < length && differs(line, at)) at++;
        parts.push(path(line, from, at));
      }
    }
  };
  edges(height, width, (y, x) => is(x, y - 1) !== is(x, y), (y, from, to) => `M${from} ${y}H${to}`);
  edges(width, height, (x, y) => is(x - 1, y) !== is(x, y), (x, from, to) => `M${x} ${from}V${to}`);
  return parts.join("");
}

/** What a screen reader says: the columns and rows at its edges, left and top first, and its area. */
export function regionWords(region: Region): string {
  const inside = insideOf(region);
  let [left, top, right, bottom, count] = [region.width, region.height, 0, 0, 0];
  inside.forEach((each, at) => {
    if (!each) return;
    const [x, y] = [at % region.width, Math.floor(at / region.width)];
    [left, top, right, bottom] = [Math.min(left, x), Math.min(top, y), Math.max(right, x + 1), Math.max(bottom, y + 1)];
    count += 1;
  });
  const kind = "rectangle" in region ? "rectangle" : "brushed region";
  return `${kind} from ${left}, ${top} to ${right}, ${bottom}, ${count.toLocaleString("en")} of ${inside.length.toLocaleString("en")} pixels`;
}

function within(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value));
}
