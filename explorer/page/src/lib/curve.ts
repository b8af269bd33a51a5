// How stable each number of modules is: what the gateway tells, and its words.

import { counted, percent, NO_BREAK } from "./words";

/** Of one number of modules; shares from 0 to 1, null where no repeat settled. */
export interface Point {
  k: number;
  consistency: number | null;
  /** Standard deviation over repeats. */
  sd: number | null;
  chance: number | null;
  settled: number;
}

export interface Curve {
  points: Point[];
  repeats: number;
  channels: number;
  /** Null where consistency exceeds chance nowhere. */
  suggested: number | null;
  /** Numbers that cannot be told from the suggested one. */
  rivals: number[];
  reason: string;
}

export interface StabilityJob {
  name: string;
  state: string;
  done: boolean;
  share: number;
  eta_s: number | null;
  jobs_ahead: number;
}

export function consistencyWords({ consistency, sd }: Point): string {
  if (consistency === null) return "unknown";
  if (sd === null) return percent(consistency, 0);
  return `${(100 * consistency).toFixed(0)}${NO_BREAK}±${NO_BREAK}${percent(sd, 0)}`;
}

export function pointWords(curve: Curve, k: number): string {
  const point = curve.points.find((each) => each.k === k);
  if (!point) return `K${NO_BREAK}=${NO_BREAK}${k}: too many for ${counted(curve.channels, "channel")}, or not asked for.`;
  if (point.consistency === null) return `K${NO_BREAK}=${NO_BREAK}${k}: no repeat settled.`;
  const chance = point.chance === null ? "" : `, ${percent(point.chance, 0)} by chance`;
  return `K${NO_BREAK}=${NO_BREAK}${k}: ${consistencyWords(point)} consistent${chance}.`;
}

export function suggestedWords({ suggested, rivals }: Curve): string {
  if (suggested === null) return "Suggested: none, as no K is above chance.";
  return `Suggested: ${suggested}${rivals.length > 0 ? `; close: ${rivals.join(", ")}` : ""}.`;
}

/** Lines of an SVG through what is known, broken where it is not. */
export function line(points: Point[], of: "consistency" | "chance", x: (k: number) => number, y: (share: number) => number): string {
  let isBroken = true;
  const parts: string[] = [];
  for (const point of points) {
    const value = point[of];
    if (value !== null) parts.push(`${isBroken ? "M" : "L"}${x(point.k)},${y(value)}`);
    isBroken = value === null;
  }
  return parts.join(" ");
}
