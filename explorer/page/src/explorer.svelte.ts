// The page's controller: it keeps the state, asks the gateway for the pictures that follow from it,
// and holds them. Parts read from it, and change the state through it. What else the page asks for
// has a controller of its own, which this one tells when the state has changed.

import { read, written } from "./lib/address";
import { StateError } from "./lib/checks";
import { knock, type Kind } from "./lib/door";
import type { Heard, Pixels } from "./lib/frames";
import { withChannel } from "./lib/grid";
import { begun, changed, redone, told, undone } from "./lib/history";
import { Key } from "./lib/key";
import { layerOf, usualLayer, usualModel, type Model } from "./lib/known";
import { isPassing, Line, type Connection, type Failure } from "./lib/line";
import { ofSeed, seedWithin, type Given, type Original } from "./lib/originals";
import type { Asked } from "./lib/preview";
import { assignments, EMPTY, isStepNamed, isStepOf, MODULES, MOST_STEPS, type State, type Step } from "./lib/state";
import { Jobs } from "./jobs.svelte";
import { Photographs } from "./photographs.svelte";
import { Regions } from "./regions.svelte";
import { Searches } from "./searches.svelte";
import { Stability } from "./stability.svelte";
import { Taking } from "./taking.svelte";
import { Waiting } from "./waiting.svelte";

const AGAIN_MS = 1500;
const ADDRESS_MS = 250;
const SEEDS = 100_000;
const SHOWN = "graftscope:shown";
const MOST_TIMES = 5000;

export interface Pictures {
  original1: Pixels | null;
  original2: Pixels | null;
  hybrid: Pixels | null;
}

const NOTHING: Pictures = { original1: null, original2: null, hybrid: null };

export class Explorer {
  history = $state.raw(begun(EMPTY));
  models = $state.raw<Model[]>([]);
  connection = $state<Connection>("connecting");
  pictures = $state.raw<Pictures>(NOTHING);
  /** Why the picture that is asked for cannot be shown. */
  failure = $state.raw<Failure | null>(null);
  notice = $state("");
  readonly waiting = new Waiting();

  /** How the page was opened. */
  door = $state<Kind>("address");

  readonly opener = new Key();
  readonly searches = new Searches(this);
  readonly stability = new Stability(this);
  readonly jobs = new Jobs(this);
  readonly taking = new Taking(this);
  readonly photographs = new Photographs(this);
  readonly regions = new Regions(this);
  readonly line = new Line(this.opener, (now) => this.connected(now));
  private askedFor = "";
  private latest = 0;
  private frame = 0;
  private postponed = false;
  /** When the state was changed last. */
  private changedAt = 0;
  private again = 0;
  private writing = 0;

  get state(): State {
    return this.history.present;
  }

  /** Whether nothing is known yet of what there is to show. */
  get beginning(): boolean {
    return this.models.length === 0 && !this.failure && this.connection !== "lost";
  }

  get model(): Model | undefined {
    return this.models.find(({ name }) => name === this.state.model);
  }

  async begin(): Promise<void> {
    await this.readAddress();
    void knock(this.opener).then((door) => (this.door = door?.kind ?? this.door));
    window.addEventListener("hashchange", () => void this.readAddress());
    this.line.open();
  }

  /** Change the state; changes of one gesture are undone together. */
  change(part: Partial<State>, gesture = ""): void {
    if (part.steps && part.steps.length > MOST_STEPS) {
      this.notice = `A picture has at most ${MOST_STEPS} grafts: remove one first.`;
      return;
    }
    this.history = changed(this.history, { ...this.state, ...part }, gesture);
    this.follow();
  }

  undo(): void {
    this.history = undone(this.history);
    this.follow();
  }

  redo(): void {
    this.history = redone(this.history);
    this.follow();
  }

  /** Take nothing from original 2 any more; it can be undone. */
  reset(): void {
    this.change({ steps: [] });
  }

  chooseModel(name: string): void {
    const model = this.models.find((each) => each.name === name);
    if (!model) return;
    const layer = layerOf(model, this.layerLevel()) ?? usualLayer(model);
    this.photographs.forget();
    this.change({ model: name, layer: layer?.name ?? "", ...this.plain(), steps: [], asked: [] });
  }

  chooseLayer(name: string): void {
    this.change({ layer: name });
  }

  chooseCount(k: number): void {
    this.change({ k: Math.min(MODULES.high, Math.max(MODULES.low, k)) });
  }

  seed(which: 0 | 1, seed: number): void {
    this.changeOriginal(which, { seed: seedWithin(seed), photograph: null });
  }

  /** Give an input of an original a value; null leaves it to the seed. */
  give(which: 0 | 1, name: string, value: Given | null): void {
    const { [name]: _, ...others } = this.state.originals[which].inputs;
    this.changeOriginal(which, { inputs: value === null ? others : { ...others, [name]: value } });
  }

  changeOriginal(which: 0 | 1, part: Partial<Original>): void {
    const originals: [Original, Original] = [...this.state.originals];
    originals[which] = { ...originals[which], ...part };
    this.change({ originals });
  }

  another(which: 0 | 1): void {
    this.seed(which, Math.floor(Math.random() * SEEDS));
  }

  exchange(): void {
    const [one, two] = this.state.originals;
    this.change({ originals: [two, one] });
  }

  /** Graft a module of the layer that is shown, or take it back. */
  toggle(module: number): void {
    const { layer, k, steps } = this.state;
    const found = this.searches.finding?.modules?.each[module];
    const off = steps.findIndex((each) => isStepOf(each, layer, k, module) && !each.on);
    if (off >= 0) {
      this.changeStep(off, { on: true });
    } else if (steps.some((each) => isStepOf(each, layer, k, module))) {
      this.change({ steps: steps.filter((each) => !isStepOf(each, layer, k, module)) });
    } else if (found && found.channels.length > 0) {
      this.change({ steps: [...steps, { layer, k, module, channels: found.channels, weight: 1, on: true }] });
    }
  }

  /** Graft channels of a layer under a name, or take them back. */
  toggleChannels(layer: string, name: string, channels: number[]): void {
    const { steps } = this.state;
    const others = steps.filter((each) => !isStepNamed(each, layer, name));
    if (others.length < steps.length) this.change({ steps: others });
    else this.change({ steps: [...steps, { layer, module: null, name, channels, weight: 1, on: true }] });
  }

  /** Graft one channel of the layer that is shown: with those that were chosen before, or alone. */
  toggleChannel(channel: number, alone: boolean): void {
    const { layer, steps } = this.state;
    this.change({ steps: withChannel(steps, layer, channel, alone) });
  }

  changeStep(at: number, part: { channels?: number[]; weight?: number; on?: boolean; name?: string }, gesture = ""): void {
    const steps = this.state.steps.map((step, index) => (index === at ? ({ ...step, ...part } as Step) : step));
    this.change({ steps }, gesture);
  }

  /** Do a step at another place among the others. */
  moveStep(at: number, to: number): void {
    const moved = this.state.steps[at];
    if (moved && at !== to) this.change({ steps: this.state.steps.toSpliced(at, 1).toSpliced(to, 0, moved) });
  }

  removeStep(at: number): void {
    this.change({ steps: this.state.steps.filter((_, index) => index !== at) });
  }

  /** Find out something about all states of the history. */
  tell(tell: (state: State) => State): void {
    this.history = told(this.history, tell);
  }

  /** Which picture is asked for. */
  picture(): Record<string, unknown> {
    const { model, originals, truncation, steps } = this.state;
    return { model, originals, truncation, steps: assignments(steps) };
  }

  /** The originals' seeds alone, for another model: what else they are belongs to this one. */
  private plain(): Pick<State, "originals" | "truncation"> {
    const [one, two] = this.state.originals;
    return { originals: [ofSeed(one.seed), ofSeed(two.seed)], truncation: 1 };
  }

  private layerLevel(): string {
    return layerOf(this.model, this.state.layer)?.level ?? "";
  }

  private async readAddress(): Promise<void> {
    this.opener.take();
    await this.restore(location.hash, "What stands behind the # of this page’s address");
  }

  /** Restore a state that was written down; what it is from is said where that cannot be. */
  async restore(text: string, from: string): Promise<void> {
    try {
      const state = await read(text);
      if (!state || JSON.stringify(state) === JSON.stringify(this.state)) return;
      this.history = this.models.length > 0 ? changed(this.history, state) : begun(state);
      this.notice = "";
      if (this.models.length > 0) this.settle();
      this.follow();
    } catch (error) {
      if (!(error instanceof StateError)) throw error;
      const goesOn = this.models.length > 0 ? "What is shown stays." : "The page begins anew.";
      this.notice = `${from} cannot be restored: ${error.message}. ${goesOn}`;
    }
  }

  private connected(now: Connection): void {
    this.connection = now;
    if (now !== "open") return this.waiting.end();
    this.askedFor = "";
    this.searches.begin();
    this.stability.begin();
    this.regions.begin();
    this.jobs.begin();
    this.askModels();
    if (this.state.model) this.show();
  }

  private askModels(): void {
    this.line.ask({ ask: "models" }, ({ fields }) => {
      if ("error" in fields) return this.failed(fields.error as Failure);
      this.models = fields.models as Model[];
      this.settle();
      this.follow();
    });
  }

  private failed(failure: Failure): void {
    this.failure = failure;
    if (isPassing(failure)) this.tryAgain(failure.retry_after_s ?? 0);
  }

  /** Keep to models and layers that there are. */
  private settle(): void {
    const { model: wanted, layer } = this.state;
    const model = this.model ?? usualModel(this.models);
    if (!model) {
      this.notice = "The server has no models yet.";
      return;
    }
    if (wanted && model.name !== wanted) {
      this.notice = `This server has no model ${wanted}; it has ${this.models.map(({ name }) => name).join(", ")}. ${model.name} is shown instead.`;
    }
    const kept = model.name === wanted ? layerOf(model, layer) : undefined;
    const state = { ...this.state, model: model.name, layer: (kept ?? usualLayer(model))?.name ?? "" };
    if (wanted && model.name !== wanted) {
      // Undo brings back what was made with the model that is missing.
      this.history = changed(this.history, { ...state, ...this.plain(), steps: [], asked: [] });
    } else this.history = { ...this.history, present: state };
  }

  /** Ask for what the state needs and the page does not have. */
  private follow(): void {
    this.changedAt = performance.now();
    this.show();
    this.searches.follow();
    this.stability.follow();
    clearTimeout(this.writing);
    this.writing = setTimeout(() => void this.writeAddress(), ADDRESS_MS);
  }

  private async writeAddress(): Promise<void> {
    if (this.state.model) this.opener.write(await written(this.state));
  }

  private show(): void {
    if (!this.state.model) return;
    const wanted = JSON.stringify({ ask: "show", ...this.picture() });
    if (wanted === this.askedFor) return;
    // One question a frame: more could not be seen.
    if (this.frame) {
      this.postponed = true;
      return;
    }
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      if (this.postponed) this.show();
    });
    this.postponed = false;
    const begun = this.changedAt;
    const asked = this.asked();
    const number = this.line.ask(JSON.parse(wanted) as Record<string, unknown>, (answer) => this.shown(answer, asked, begun));
    if (!number) return;
    this.askedFor = wanted;
    this.latest = number;
    this.waiting.asked(asked);
  }

  private asked(): Asked {
    const { model, originals, truncation, steps } = this.state;
    return { originals: JSON.stringify([model, originals, truncation]), steps: assignments(steps) };
  }

  private shown({ id, fields, images }: Heard, asked: Asked, begun: number): void {
    this.line.forget(id);
    if ("outdated" in fields) return;
    if ("error" in fields) {
      if (id !== this.latest) return;
      this.waiting.end();
      this.failed(fields.error as Failure);
      // The server may have been started again, with other models.
      if (this.failure?.kind === "NotFoundError") this.askModels();
      return;
    }
    const original1 = images.get("original1") ?? this.pictures.original1;
    const original2 = images.get("original2") ?? this.pictures.original2;
    this.pictures = { original1, original2, hybrid: images.get("hybrid") ?? original1 };
    this.failure = null;
    this.waiting.shown(asked, this.pictures, id === this.latest);
    // After the next frame it is on the screen. Who measures reads it there.
    requestAnimationFrame(() => setTimeout(() => measured(begun)));
  }

  /** Ask once more for everything that failed, after a while: the server may say which. */
  tryAgain(seconds = 0): void {
    clearTimeout(this.again);
    this.again = setTimeout(() => {
      if (this.connection === "open") this.connected("open");
    }, Math.max(AGAIN_MS, 1000 * seconds));
  }
}

/** Note how long a picture took, and forget the times of those long ago. */
function measured(begun: number): void {
  if (performance.getEntriesByName(SHOWN).length >= MOST_TIMES) performance.clearMeasures(SHOWN);
  performance.measure(SHOWN, { start: begun, end: performance.now() });
}
