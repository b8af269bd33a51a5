// What the gateway tells of models, of jobs and of modules.

import type { Failure } from "./line";
import type { Pixels } from "./frames";

export interface Layer {
  name: string;
  level: string;
  kind: string;
  shape: number[];
  channels: number;
  upstream_mflop: number;
  downstream_mflop: number;
  /** Whether it is known where a PyTorch module computes it. */
  torch: boolean;
}

/** An input of a generator, and what there is to choose. */
export interface Input {
  name: string;
  /** Its distribution in words. */
  drawn: string;
  /** Whether truncation acts on it. */
  normal: boolean;
  control: "class" | "choice" | "number" | "seed" | "none";
  classes?: number;
  values?: number[];
  whole?: boolean;
  low?: number;
  high?: number;
}

export interface Model {
  name: string;
  digest: string;
  image: { height: number; width: number; colours: number };
  encoder: boolean;
  inputs: Input[];
  layers: Layer[];
}

export interface Job {
  name: string;
  state: string;
  done: boolean;
  pairs: number;
  pairs_wanted: number;
  eta_s: number | null;
  jobs_ahead: number;
}

/** A job in the list of them. */
export interface JobRow {
  name: string;
  kind: string;
  model: string;
  layer: string;
  state: string;
  done: boolean;
  /** Of originals, of the maps that it is about; 0 where it is about none. */
  pairs: number;
  /** How much of it is done, 0 to 1. */
  share: number;
  eta_s: number | null;
  jobs_ahead: number;
  created_s: number | null;
  error: string;
  owner: string;
}

/** One module; influences are shares of the image range, means over its channels. */
export interface Module {
  channels: number[];
  influence: number | null;
  influence_error: number | null;
  /** The median probability of its channels' labels. */
  confidence: number | null;
  /** How many of its channels are sure. */
  sure: number | null;
}

export interface Modules {
  k: number;
  pairs: number;
  final: boolean;
  each: Module[];
  none: number[];
  confidence_unknown: string;
  /** Of each channel of the layer: how probable its module is. */
  probabilities: (number | null)[];
  /** Channels that other pairs may well put into another module. */
  between: Between[];
}

export interface Between {
  channel: number;
  /** The most probable first. */
  modules: number[];
  probabilities: number[];
}

/** What is known of every channel of a layer by itself; amounts are shares of the image range. */
export interface Channels {
  count: number;
  pairs: number;
  /** Of each map. */
  height: number;
  width: number;
  /** The highest pixel of each map. */
  peaks: number[];
  influence: number[];
  errors: (number | null)[];
}

/** What is known of a layer's modules so far. */
export interface Finding {
  k: number;
  job: Job | null;
  modules: Modules | null;
  templates: Pixels[];
  channels: Channels | null;
  /** All channels' maps, one below the other, each from 0 to its own highest pixel. */
  maps: Pixels | null;
  failure: Failure | null;
}

export const NOTHING_FOUND: Omit<Finding, "k"> = { job: null, modules: null, templates: [], channels: null, maps: null, failure: null };

/** How much acts inside a region and outside of it, as shares of the image range. */
export interface Contrast {
  /** Inside ÷ outside; null where nothing is outside. */
  score: number | null;
  inside: number;
  inside_error: number | null;
  outside: number;
  outside_error: number | null;
  /** Whether inside exceeds outside by more than two standard errors. */
  certain: boolean;
}

/** What acts in a region, the highest scores first. */
export interface Found {
  pairs: number;
  final: boolean;
  /** On the command line. */
  command: string;
  /** Channels whose score is high enough, and certain. */
  found: number[];
  /** All channels. */
  ranked: number[];
  channels: (Contrast & { channel: number })[];
  modules: (Contrast & { module: number })[];
}

export function isRunning(finding: Finding | undefined): boolean {
  return finding !== undefined && !finding.failure && !(finding.job?.done ?? false);
}

/** How a search whose results are shown stands, behind "found in so many pairs". */
export function standing(finding: Finding | undefined, final: boolean): string {
  if (final) return "";
  if (finding?.job?.state === "done") return " so far; the last ones are on their way";
  if (finding?.job?.state === "cancelled") return " so far; the search was stopped";
  return " so far";
}

export function layerName(layer: Layer): string {
  return layer.level || layer.name;
}

/** The layer of a name or of a level's. */
export function layerOf(model: Model | undefined, name: string): Layer | undefined {
  return model?.layers.find((layer) => name !== "" && (layer.name === name || layer.level === name));
}

/** As the command line chooses: the model that ships, and its intermediate layer. */
export function usualModel(models: readonly Model[]): Model | undefined {
  return models.find(({ name }) => name === "vae-celeba") ?? models[0];
}

export function usualLayer(model: Model): Layer | undefined {
  const maps = model.layers.filter(({ kind }) => kind === "map");
  return layerOf(model, "intermediate") ?? maps[Math.floor((maps.length - 1) / 2)] ?? model.layers.at(-1);
}
