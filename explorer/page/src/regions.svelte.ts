// The part of the picture that is meant to change: how it is drawn, and what acts there.

import type { Explorer } from "./explorer.svelte";
import type { Heard } from "./lib/frames";
import type { Found } from "./lib/known";
import { isPassing, type Failure } from "./lib/line";
import { between, brushed, fits, insideOf, middle, moved, MOST_RUNS, resized, stroked, type Point, type Region, type Size } from "./lib/region";
import { spill, type Spill } from "./lib/spill";

export const TOOLS = ["rectangle", "brush", "eraser"] as const;
export type Tool = (typeof TOOLS)[number];

export class Regions {
  tool = $state<Tool | null>(null);
  /** The brush's width in pixels, odd. */
  brush = $state(5);
  found = $state.raw<Found | null>(null);
  failure = $state.raw<Failure | null>(null);
  /** Why a stroke was not drawn. */
  refused = $state("");
  private foundFor = $state("");
  private asking = 0;
  private next = "";
  private stroke = 0;
  private begun: Point = { x: 0, y: 0 };
  private from: Point = { x: 0, y: 0 };

  constructor(private readonly explorer: Explorer) {}

  readonly size = $derived.by((): Size => this.explorer.model?.image ?? { height: 1, width: 1 });
  /** Where it is of a picture of this size. */
  readonly region = $derived.by((): Region | null => {
    const { region } = this.explorer.state;
    return region && fits(region, this.size) ? region : null;
  });
  /** The size of the pictures that it was drawn on, where the model has others. */
  readonly misfit = $derived.by((): Size | null => {
    const { region } = this.explorer.state;
    return region && this.explorer.model && !fits(region, this.size) ? region : null;
  });
  readonly inside = $derived.by(() => (this.region ? insideOf(this.region) : null));
  /** How much of the change is elsewhere. */
  readonly spill = $derived.by((): Spill | null => {
    const { original1, hybrid } = this.explorer.pictures;
    if (!this.inside || !original1 || !hybrid) return null;
    const count = original1.width * original1.height;
    return count === this.inside.length && count === hybrid.width * hybrid.height ? spill(original1, hybrid, this.inside) : null;
  });

  /** What is to be asked; empty where there is no region, or no maps yet. */
  readonly question = $derived.by((): string => {
    const { model, layer, k, pairs } = this.explorer.state;
    const finding = this.explorer.searches.finding;
    if (!this.region || !finding?.job || !finding.modules || finding.k !== k) return "";
    const modules = finding.modules.each.map(({ channels }) => channels);
    const { pairs: so_far, final } = finding.modules;
    const about = { model, layer, job: finding.job.name, pairs: so_far, final, pairs_wanted: pairs };
    return JSON.stringify({ ask: "find", ...about, modules, region: this.region });
  });

  /** Whether what was found is of what is shown. */
  readonly current = $derived.by(() => this.foundFor === this.question && this.question !== "");

  /** Ask for what acts there; while an answer is under way, only the latest question waits. */
  follow(question: string): void {
    if (this.asking) {
      this.next = question;
      return;
    }
    this.next = "";
    if (!question || question === this.foundFor) return;
    this.asking = this.explorer.line.ask(JSON.parse(question) as Record<string, unknown>, (answer) => this.answered(question, answer));
  }

  /** There is a new connection: nothing that was asked is answered any more. */
  begin(): void {
    this.asking = 0;
    if (this.failure) this.foundFor = "";
  }

  /** Draw the region; all that is drawn in one gesture is undone at once. */
  draw(region: Region | null, gesture = ""): void {
    if (region && "runs" in region && region.runs.length > MOST_RUNS) {
      this.refused = "The region has too many pieces: brush over whole areas.";
      return;
    }
    this.refused = "";
    this.explorer.change({ region }, gesture);
  }

  /** A pointer touches the picture. */
  press(at: Point): void {
    this.stroke += 1;
    this.begun = this.from = at;
    this.drag(at);
  }

  drag(at: Point): void {
    const gesture = `region ${this.stroke}`;
    if (this.tool === "rectangle") this.draw(between(this.size, this.begun, at), gesture);
    else this.paint(this.from, at, gesture);
    this.from = at;
  }

  /** Paint with the brush, or take away with the eraser. */
  paint(from: Point, to: Point, gesture = ""): void {
    const before = this.inside ?? new Uint8Array(this.size.height * this.size.width);
    const painted = stroked(before, this.size, from, to, this.brush, this.tool === "eraser" ? 0 : 1);
    this.draw(brushed(painted, this.size), gesture);
  }

  /** Move a rectangle, or its right and lower edges; the first time there is one in the middle. */
  shift(across: number, down: number, sides: boolean): void {
    const { region } = this;
    if (!region || !("rectangle" in region)) this.draw(middle(this.size));
    else this.draw((sides ? resized : moved)(region, across, down), "region by keys");
  }

  private answered(question: string, { id, fields }: Heard): void {
    this.explorer.line.forget(id);
    this.asking = 0;
    this.foundFor = question;
    if ("error" in fields) {
      this.failure = fields.error as Failure;
      if (isPassing(this.failure)) this.explorer.tryAgain();
    } else {
      this.failure = null;
      this.found = fields as unknown as Found;
    }
    if (this.next) this.follow(this.next);
  }
}
