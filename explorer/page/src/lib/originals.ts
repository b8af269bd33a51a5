// What an original is: the sample of a seed, with inputs that are given, or a photograph's encoding.

import { list, number, record, StateError, text, whole } from "./checks";

export const LAST_SEED = 2 ** 32 - 1;

/** In letters of base64: what a page's address can hold. */
export const LARGEST_ENCODING = 200_000;

const MOST_INPUTS = 64;
const LARGEST = 3.4e38;

/** An input's value; or the seed that draws this input alone, such as noise. */
export type Given = number | { seed: number };

/** What is not as the original's seed draws it, by the input's name. */
export type Inputs = Record<string, Given>;

/** What an encoder made of a photograph: the picture starts from this, and not from the seed. */
export interface Photograph {
  /** What its file was called. */
  name: string;
  /** By the input's name: numbers in single precision, the lowest byte first, in base64. */
  latents: Record<string, string>;
}

export interface Original {
  seed: number;
  inputs: Inputs;
  photograph: Photograph | null;
}

export function ofSeed(seed: number): Original {
  return { seed, inputs: {}, photograph: null };
}

export const ORIGINALS: [Original, Original] = [ofSeed(7), ofSeed(8)];

/** An original in a few words. */
export function originalName({ seed, photograph }: Original): string {
  return photograph ? `photograph ${photograph.name}` : `seed ${seed}`;
}

/** An original as a part of a file's name. */
export function fileName({ seed, photograph }: Original): string {
  const name = photograph?.name.replace(/\.[^.]*$/, "").replace(/[^\p{L}\p{N}]+/gu, "_");
  return name || String(seed);
}

export function seedWithin(seed: number): number {
  return Math.min(LAST_SEED, Math.max(0, Math.round(seed) || 0));
}

/** Make sure that a value is an original. */
export function original(value: unknown): Original {
  const of = record(value, "an original");
  return {
    seed: whole(of.seed, "a seed", 0, LAST_SEED),
    inputs: each(of.inputs, "an original's inputs", given),
    photograph: of.photograph === null ? null : photograph(of.photograph),
  };
}

function photograph(value: unknown): Photograph {
  const of = record(value, "a photograph");
  return { name: text(of.name, "a photograph's name"), latents: each(of.latents, "a photograph's latents", letters) };
}

function given(value: unknown, name: string): Given {
  if (typeof value === "number") return number(value, `input ${name}`, -LARGEST, LARGEST);
  return { seed: whole(record(value, `input ${name}`).seed, `the seed of input ${name}`, 0, LAST_SEED) };
}

function letters(value: unknown, name: string): string {
  if (typeof value !== "string" || value.length > LARGEST_ENCODING || !/^[A-Za-z0-9+/]+={0,2}$/.test(value)) {
    throw new StateError(`the latents ${name} of a photograph are not written in base64`);
  }
  return value;
}

function each<T>(value: unknown, name: string, read: (value: unknown, name: string) => T): Record<string, T> {
  const entries = list(Object.entries(record(value, name)), name, MOST_INPUTS) as [string, unknown][];
  return Object.fromEntries(entries.map(([key, found]) => [key, read(found, key)]));
}
