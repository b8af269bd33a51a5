// What is known of the modules of layers, and the searches for them.

import type { Explorer } from "./explorer.svelte";
import { template } from "./lib/colours";
import type { Heard } from "./lib/frames";
import { isRunning, NOTHING_FOUND, type Channels, type Finding, type Job, type Modules } from "./lib/known";
import { isPassing, type Failure } from "./lib/line";
import { renumbered } from "./lib/state";

export class Searches {
  findings = $state.raw<Record<string, Finding>>({});
  /** Of how many pairs there are maps at the server, by the layer. */
  private stored = $state.raw<Record<string, number[]>>({});
  /** The model whose layers were asked about. */
  private remembered = "";
  private asking = new Map<string, { number: number; for: string }>();

  constructor(private readonly explorer: Explorer) {}

  /** Of the layer that is shown. */
  get finding(): Finding | undefined {
    return this.of(this.explorer.state.layer);
  }

  of(layer: string): Finding | undefined {
    return this.findings[this.key(layer)];
  }

  /** Find the modules of the layer that is shown. */
  find(): void {
    const { layer, asked } = this.explorer.state;
    this.asking.delete(this.key(layer));
    this.explorer.change({ asked: asked.includes(layer) ? asked : [...asked, layer] });
  }

  /** Stop finding them; what was found stays. */
  stop(): void {
    const { model, layer, asked } = this.explorer.state;
    this.explorer.line.ask({ ask: "stop", model, layer }, () => undefined);
    this.explorer.change({ asked: asked.filter((each) => each !== layer) });
  }

  /** Ask for a layer's modules anew the next time. */
  forget(layer: string): void {
    this.asking.delete(this.key(layer));
  }

  /** There is a new connection: nothing that was asked is answered any more. */
  begin(): void {
    this.asking.clear();
    this.remembered = "";
  }

  /** Whether the maps of a layer are at the server, of as many pairs as are wanted: asking costs next to nothing. */
  isStored(layer: string): boolean {
    return this.stored[this.key(layer)]?.includes(this.explorer.state.pairs) ?? false;
  }

  /** Ask for what the state needs and the page does not have. */
  follow(): void {
    const { model, asked, layer } = this.explorer.state;
    if (!this.explorer.model) return;
    if (this.remembered !== model) this.remember(model);
    if (asked.includes(layer) || this.isStored(layer)) this.ask(layer);
    else this.askForAnother();
  }

  private ask(layer: string): void {
    const { model, k, pairs } = this.explorer.state;
    const key = this.key(layer);
    const wanted = JSON.stringify({ ask: "modules", model, layer, k, pairs });
    const before = this.asking.get(key);
    if (before?.for === wanted) return;
    if (before) this.explorer.line.forget(before.number);
    const number = this.explorer.line.ask(JSON.parse(wanted) as Record<string, unknown>, (answer) => this.foundSome(key, layer, k, answer));
    if (!number) return;
    this.asking.set(key, { number, for: wanted });
    const known = this.findings[key];
    this.note(key, known?.k === k ? { job: null, failure: null } : { k, job: null, modules: null, templates: [], failure: null });
  }

  /** Find out which layers of a model were searched on earlier days. */
  private remember(model: string): void {
    const number = this.explorer.line.ask({ ask: "searched", model }, ({ fields }) => {
      if ("error" in fields) return;
      for (const { layer, pairs } of fields.searched as { layer: string; pairs: number }[]) {
        const key = `${model}\n${layer}`;
        this.stored = { ...this.stored, [key]: [...(this.stored[key] ?? []), pairs] };
      }
      this.follow();
    });
    if (number) this.remembered = model;
  }

  /** Find out about a layer that is not shown, once nothing else is being asked. */
  private askForAnother(): void {
    if (Object.values(this.findings).some((each) => isRunning(each))) return;
    const others = this.explorer.model?.layers ?? [];
    const next = others.find(({ name }) => this.isStored(name) && !this.findings[this.key(name)]);
    if (next) this.ask(next.name);
  }

  private key(layer: string): string {
    return `${this.explorer.state.model}\n${layer}`;
  }

  private foundSome(key: string, layer: string, k: number, { fields, images }: Heard): void {
    if ("error" in fields) {
      const failure = fields.error as Failure;
      this.note(key, { failure });
      if (isPassing(failure)) this.explorer.tryAgain();
      return;
    }
    const job = fields.job as Job;
    const modules = fields.modules as Modules | undefined;
    const channels = fields.channels as Channels | undefined;
    this.note(key, {
      k,
      job,
      ...(modules && { modules, templates: modules.each.map((_, at) => template(images.get(`template${at}`)!)) }),
      ...(channels && { channels, maps: images.get("maps")! }),
    });
    if (modules) {
      const members = modules.each.map((each) => each.channels);
      this.explorer.tell((state) => renumbered(state, layer, k, members));
    }
    if (modules?.final) {
      this.explorer.stability.follow();
      this.askForAnother();
    }
  }

  private note(key: string, part: Partial<Finding>): void {
    const before = this.findings[key] ?? { k: this.explorer.state.k, ...NOTHING_FOUND };
    this.findings = { ...this.findings, [key]: { ...before, ...part } };
  }
}
