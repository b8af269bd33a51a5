// What the page shows, as one plain value. Everything it asks of the gateway follows from it.

import { list, number, record, StateError, text, told, whole } from "./checks";
import { original, ORIGINALS, type Original } from "./originals";
import { regionOf, type Region } from "./region";

/** Of addresses. Version 1 had seeds alone, and no truncation. */
export const VERSION = 2;
export const WEIGHTS = { low: -1, high: 2 } as const;
export const MODULES = { low: 2, high: 10 } as const;
export const PAIRS = [256, 1024, 4096] as const;
export const VIEWS = ["hybrid", "compare", "difference"] as const;

const MOST_PAIRS = 1_000_000;
export const MOST_STEPS = 64;
const MOST_CHANNELS = 65_536;

export type View = (typeof VIEWS)[number];

/** Channels of a layer that are taken from original 2. */
interface Taken {
  layer: string;
  channels: number[];
  weight: number;
  on: boolean;
}

/** Those of a module: it was found as `module` of `k`. */
export interface ModuleStep extends Taken {
  k: number;
  module: number;
}

/** Those that were chosen otherwise, by what they are called. */
export interface ChosenStep extends Taken {
  module: null;
  name: string;
}

export type Step = ModuleStep | ChosenStep;

export interface State {
  model: string;
  /** The layer whose modules are shown. */
  layer: string;
  k: number;
  /** How many pairs of originals the modules are found in. */
  pairs: number;
  /** Layers whose modules were asked for. */
  asked: string[];
  originals: [Original, Original];
  /** How far from their mean the normal latents that seeds draw lie: 1 as drawn, 0 at the mean. */
  truncation: number;
  steps: Step[];
  /** The part of the picture that is meant to change. */
  region: Region | null;
  view: View;
  /** Where original 1 ends and the hybrid begins, 0 to 1. */
  split: number;
}

export const EMPTY: State = {
  model: "",
  layer: "",
  k: 3,
  pairs: 1024,
  asked: [],
  originals: ORIGINALS,
  truncation: 1,
  steps: [],
  region: null,
  view: "hybrid",
  split: 0.5,
};

/** What one step assigns once those after it had their way: no channel is assigned twice. */
export interface Assigned {
  layer: string;
  channels: number[];
  weight: number;
}

/** Tell of every step which channels are left to it: those that no later step assigns. */
export function ownChannels(steps: readonly Step[]): number[][] {
  const taken = new Map<string, Set<number>>();
  const own: number[][] = [];
  for (const step of [...steps].reverse()) {
    const before = taken.get(step.layer) ?? new Set();
    own.unshift(step.on ? step.channels.filter((channel) => !before.has(channel)) : []);
    if (step.on) taken.set(step.layer, new Set([...before, ...step.channels]));
  }
  return own;
}

export function assignments(steps: readonly Step[]): Assigned[] {
  const own = ownChannels(steps);
  return steps
    .map(({ layer, weight }, at) => ({ layer, weight, channels: own[at] ?? [] }))
    .filter(({ channels, weight }) => channels.length > 0 && weight !== 0);
}

export function isStepOf(step: Step, layer: string, k: number, module: number): boolean {
  return step.layer === layer && step.module !== null && step.k === k && step.module === module;
}

export function isStepNamed(step: Step, layer: string, name: string): step is ChosenStep {
  return step.layer === layer && step.module === null && step.name === name;
}

/** A name that no step of a layer has yet: as wanted, or with a number behind it. */
export function freeName(steps: readonly Step[], layer: string, wanted: string): string {
  const taken = (name: string): boolean => steps.some((each) => isStepNamed(each, layer, name));
  let name = wanted;
  for (let number = 2; taken(name); number++) name = `${wanted} ${number}`;
  return name;
}

/** A key of each step, which it keeps where steps are added, removed or reordered. */
export function stepKeys(steps: readonly Step[]): string[] {
  const seen = new Map<string, number>();
  return steps.map((step) => {
    const key = JSON.stringify(step.module === null ? [step.layer, step.name] : [step.layer, step.k, step.module]);
    const before = seen.get(key) ?? 0;
    seen.set(key, before + 1);
    return before === 0 ? key : `${key} ${before}`;
  });
}

/**
 * Tell which modules the steps are of, now that a layer's modules are better known: each is of the
 * one that shares most channels with it, and keeps the channels that it has.
 */
export function renumbered(state: State, layer: string, k: number, modules: readonly number[][]): State {
  const taken = new Set<number>();
  let changes = false;
  const steps = state.steps.map((step) => {
    if (step.module === null || step.layer !== layer || step.k !== k) return step;
    const mine = new Set(step.channels);
    const shared = modules.map((channels, at) => (taken.has(at) ? -1 : channels.filter((each) => mine.has(each)).length));
    const best = shared.indexOf(Math.max(...shared));
    taken.add(best);
    if (best === step.module) return step;
    changes = true;
    return { ...step, module: best };
  });
  return changes ? { ...state, steps } : state;
}

/** Make sure that a value is a state, whatever it was read from. */
export function checked(value: unknown, version = VERSION): State {
  const of = version === 1 ? upgraded(record(value, "it")) : record(value, "it");
  const [one, two, ...more] = list(of.originals, "the originals", 2).map(original);
  if (!one || !two || more.length > 0) throw new StateError("two originals are needed");
  const view = VIEWS.find((each) => each === of.view);
  if (!view) throw new StateError(`the view ${told(of.view)} is none of ${VIEWS.join(", ")}`);
  return {
    model: text(of.model, "the model"),
    layer: text(of.layer, "the layer"),
    k: whole(of.k, "the number of modules", MODULES.low, MODULES.high),
    pairs: whole(of.pairs, "the number of pairs", 1, MOST_PAIRS),
    asked: list(of.asked, "the layers", 256).map((each) => text(each, "a layer")),
    originals: [one, two],
    truncation: number(of.truncation, "the truncation", 0, 1),
    steps: list(of.steps, "the steps", MOST_STEPS).map(step),
    region: regionOf(of.region),
    view,
    split: number(of.split, "the divider", 0, 1),
  };
}

/** A state of version 1, in the words of today. */
function upgraded(of: Record<string, unknown>): Record<string, unknown> {
  const seeds = list(of.seeds, "the seeds", 2);
  const inputs = list(of.inputs, "the inputs", 2);
  return { ...of, truncation: 1, originals: seeds.map((seed, at) => ({ seed, inputs: inputs[at], photograph: null })) };
}

function step(value: unknown): Step {
  const of = record(value, "a step");
  const channels = list(of.channels, "the channels", MOST_CHANNELS);
  if (typeof of.on !== "boolean") throw new StateError("a step is neither on nor off");
  const taken = {
    layer: text(of.layer, "a step's layer"),
    channels: channels.map((each) => whole(each, "a channel", 0, MOST_CHANNELS)),
    weight: number(of.weight, "a weight", WEIGHTS.low, WEIGHTS.high),
    on: of.on,
  };
  if (of.module === null) return { ...taken, module: null, name: text(of.name, "a step's name") };
  return { ...taken, k: whole(of.k, "a step's number of modules", 1, 64), module: whole(of.module, "a step's module", 0, 63) };
}
