// The service's jobs: the latest ones, which tell of themselves for as long as they are looked at.

import type { Explorer } from "./explorer.svelte";
import type { Heard } from "./lib/frames";
import { layerOf, type JobRow } from "./lib/known";
import type { Failure } from "./lib/line";

export class Jobs {
  rows = $state.raw<JobRow[] | null>(null);
  failure = $state.raw<Failure | null>(null);
  isOpen = $state(false);
  private number = 0;

  constructor(private readonly explorer: Explorer) {}

  open(): void {
    this.isOpen = true;
    this.begin();
  }

  close(): void {
    this.isOpen = false;
    this.explorer.line.forget(this.number);
    this.explorer.line.ask({ ask: "jobs_closed" }, () => undefined);
  }

  /** There is a new connection: what is looked at is asked for anew. */
  begin(): void {
    if (this.isOpen) this.number = this.explorer.line.ask({ ask: "jobs" }, (answer) => this.heard(answer));
  }

  stop({ name }: JobRow): void {
    this.explorer.line.ask({ ask: "stop_job", name }, ({ fields }) => {
      if ("error" in fields) this.failure = fields.error as Failure;
    });
  }

  /** Whether the page can show what a job is about. */
  canShow({ kind, model, layer, pairs }: JobRow): boolean {
    const known = this.explorer.models.find(({ name }) => name === model);
    return kind !== "magnitude" && pairs > 0 && layerOf(known, layer) !== undefined;
  }

  /** Show the layer that a job is about, and go on with it where it has not come to its end. */
  show({ model, layer, pairs }: JobRow): void {
    const { explorer } = this;
    if (explorer.state.model !== model) explorer.chooseModel(model);
    const name = layerOf(explorer.model, layer)?.name ?? layer;
    const { asked } = explorer.state;
    explorer.searches.forget(name);
    explorer.change({ layer: name, pairs, asked: asked.includes(name) ? asked : [...asked, name] });
    this.close();
  }

  private heard({ fields }: Heard): void {
    if ("error" in fields) {
      this.failure = fields.error as Failure;
      return;
    }
    this.failure = null;
    const changed = fields.job as JobRow | undefined;
    if (changed) this.rows = this.rows?.map((each) => (each.name === changed.name ? changed : each)) ?? null;
    else this.rows = fields.jobs as JobRow[];
  }
}
