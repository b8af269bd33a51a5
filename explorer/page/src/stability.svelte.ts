// How stable each number of modules is: known at once where the server has it, else asked for.

import type { Explorer } from "./explorer.svelte";
import type { Curve, StabilityJob } from "./lib/curve";
import type { Heard } from "./lib/frames";
import { isPassing, type Failure } from "./lib/line";

interface Known {
  curve: Curve | null;
  job: StabilityJob | null;
  failure: Failure | null;
}

const NOTHING: Known = { curve: null, job: null, failure: null };

export class Stability {
  /** By the name of the influence job whose maps they are of. */
  private known = $state.raw<Record<string, Known>>({});
  /** That job's name, by model, layer and pairs: another K is of the same maps. */
  private maps = $state.raw<Record<string, string>>({});
  private asking = new Map<string, number>();

  constructor(private readonly explorer: Explorer) {}

  /** Of the layer that is shown, and the pairs that are wanted. */
  get shown(): Known {
    return this.known[this.name ?? ""] ?? NOTHING;
  }

  /** Whether there are maps to ask it of. */
  get isReady(): boolean {
    return this.name !== undefined;
  }

  get isRunning(): boolean {
    const { job, curve } = this.shown;
    return job !== null && !job.done && !curve;
  }

  /** There is a new connection: nothing that was asked is answered any more. */
  begin(): void {
    this.asking.clear();
  }

  /** Ask whether it is known, where that has not been asked yet. */
  follow(): void {
    const { finding } = this.explorer.searches;
    const { job, modules } = finding ?? {};
    if (job?.state === "done" && modules?.final && modules.pairs === this.explorer.state.pairs) {
      this.maps = { ...this.maps, [this.place]: job.name };
    }
    const { name } = this;
    if (name !== undefined && !this.asking.has(name) && !this.shown.curve) this.ask(name, false);
  }

  /** Have it computed. */
  start(): void {
    if (this.name !== undefined) this.ask(this.name, true);
  }

  /** Stop computing; what was computed stays. */
  stop(): void {
    const { name, shown } = this;
    if (name === undefined || !shown.job) return;
    this.explorer.line.ask({ ask: "stop_job", name: shown.job.name }, ({ fields }) => {
      if ("error" in fields) this.note(name, { failure: fields.error as Failure });
    });
  }

  private get place(): string {
    const { model, layer, pairs } = this.explorer.state;
    return `${model}\n${layer}\n${pairs}`;
  }

  private get name(): string | undefined {
    return this.maps[this.place];
  }

  private ask(name: string, start: boolean): void {
    this.explorer.line.forget(this.asking.get(name) ?? 0);
    const number = this.explorer.line.ask({ ask: "stability", maps: name, start }, (answer) => this.heard(name, answer));
    if (!number) return;
    this.asking.set(name, number);
    this.note(name, { failure: null });
  }

  private heard(name: string, { fields }: Heard): void {
    if ("error" in fields) {
      const failure = fields.error as Failure;
      this.note(name, { failure, job: null });
      if (isPassing(failure)) this.explorer.tryAgain();
      return;
    }
    this.note(name, { job: fields.job as StabilityJob | null, ...(fields.curve ? { curve: fields.curve as Curve } : {}) });
  }

  private note(name: string, part: Partial<Known>): void {
    this.known = { ...this.known, [name]: { ...(this.known[name] ?? NOTHING), ...part } };
  }
}
