// The channels of a layer as a grid of maps: their order, their looks, what is said of each, and
// which of them were chosen by hand.

import { change } from "./colours";
import type { Pixels } from "./frames";
import type { Between, Channels, Modules } from "./known";
import type { ChosenStep, Step } from "./state";
import { counted, percent, withError } from "./words";

export const SORTS = { influence: "influence", module: "module", channel: "channel number" } as const;
export type Sort = keyof typeof SORTS;

const NONE = -1;
const NAMED = 6;

/** The module of each channel; -1 where it is in none, or there are none yet. */
export function labelsOf(channels: Channels, modules: Modules | null): number[] {
  const labels = new Array<number>(channels.count).fill(NONE);
  modules?.each.forEach((module, index) => module.channels.forEach((channel) => (labels[channel] = index)));
  return labels;
}

/** All channels: the most influential first, within its module too; the lower number first among equals. */
export function ordered({ count, influence }: Channels, labels: readonly number[], sort: Sort): number[] {
  const all = Array.from({ length: count }, (_, channel) => channel);
  if (sort === "channel") return all;
  const byInfluence = (one: number, other: number) => influence[other]! - influence[one]! || one - other;
  if (sort === "influence") return all.sort(byInfluence);
  const place = (channel: number) => (labels[channel] === NONE ? Infinity : labels[channel]!);
  return all.sort((one, other) => (place(one) === place(other) ? byInfluence(one, other) : place(one) - place(other)));
}

/** One channel's map; bright is its own highest pixel, or with `highest` the highest of them all. */
export function tile(maps: Pixels, { height, width, peaks }: Channels, channel: number, highest: number | null): Pixels {
  const size = 4 * height * width;
  const scale = highest === null ? 1 : highest > 0 ? peaks[channel]! / highest : 0;
  return { height, width, rgba: change(maps.rgba.subarray(channel * size, (channel + 1) * size), scale) };
}

/** What there is to say of a channel, part by part. */
export function factsOf(channel: number, channels: Channels, modules: Modules | null, labels: readonly number[]): string[] {
  const facts = [`influence ${withError(channels.influence[channel]!, channels.errors[channel]!)} of the image range`];
  const label = labels[channel]!;
  const sure = modules?.probabilities[channel] ?? null;
  if (label !== NONE) facts.push(`module ${label}${sure === null ? "" : ` with a probability of ${percent(sure, 0)}`}`);
  else if (modules) facts.push("in no module");
  const between = modules?.between.find((each) => each.channel === channel);
  if (between) facts.push(amongModules(between));
  facts.push(counted(channels.pairs, "pair"));
  return facts;
}

/** As the command line says it. */
export function betweenWords(between: Between): string {
  return `channel ${between.channel} is ${amongModules(between)}`;
}

function amongModules({ modules, probabilities }: Between): string {
  return `between modules ${listed(modules.map(String))} (${probabilities.map((each) => percent(each, 0)).join(", ")})`;
}

/** What channels are called that were chosen by hand. */
export function handName(channels: readonly number[]): string {
  if (channels.length <= NAMED) return `${channels.length === 1 ? "channel" : "channels"} ${listed(channels.map(String))}`;
  return `channels ${channels.slice(0, NAMED - 1).join(", ")} and ${channels.length - NAMED + 1} more`;
}

/** The place of the layer's last step of channels that were chosen one by one; -1 without one. */
export function handStepAt(steps: readonly Step[], layer: string): number {
  return steps.findLastIndex((step) => isByHand(step, layer));
}

function isByHand(step: Step, layer: string): step is ChosenStep {
  return step.module === null && step.layer === layer && step.name === handName(step.channels);
}

/** The steps with one channel more, or without it: in the last step of such channels, or one of its own. */
export function withChannel(steps: readonly Step[], layer: string, channel: number, alone: boolean): Step[] {
  const at = steps.findLastIndex((step) => isByHand(step, layer) && step.channels.includes(channel));
  if (at >= 0) return renamed(steps, at, steps[at]!.channels.filter((each) => each !== channel));
  const last = alone ? NONE : handStepAt(steps, layer);
  if (last >= 0) return renamed(steps, last, [...steps[last]!.channels, channel].sort((one, other) => one - other));
  return [...steps, { layer, module: null, name: handName([channel]), channels: [channel], weight: 1, on: true }];
}

function renamed(steps: readonly Step[], at: number, channels: number[]): Step[] {
  if (channels.length === 0) return steps.toSpliced(at, 1);
  return steps.toSpliced(at, 1, { ...(steps[at] as ChosenStep), channels, name: handName(channels) });
}

/** Channels of a layer that steps take from original 2. */
export function taken(steps: readonly Step[], layer: string): Set<number> {
  return new Set(steps.filter((step) => step.on && step.layer === layer).flatMap((step) => step.channels));
}

function listed(words: string[]): string {
  return words.length < 2 ? words.join() : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}
