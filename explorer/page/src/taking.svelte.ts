// What is taken along: files that are saved, texts that are copied; and what comes back from them.

import type { Explorer } from "./explorer.svelte";
import { written } from "./lib/address";
import { bytesOf, save, stateOf, withState } from "./lib/files";
import { layerName, type Layer } from "./lib/known";
import { fileName } from "./lib/originals";
import { textOf, withText } from "./lib/png";
import { assignments } from "./lib/state";

/** What makes a picture without this page; the address brings the page back. */
export type Form = "cli" | "python" | "torch" | "address";

export const FORMS: Record<Form, string> = {
  cli: "The command line",
  python: "The Python code",
  torch: "The PyTorch code",
  address: "The address",
};

const HINTS: Record<Form, string> = {
  cli: "Pasted into a terminal, it writes the picture into a folder below the current one.",
  python: "Run where Graftscope is installed, it makes the picture as an array.",
  torch: "Its first lines say how to run it on your generator.",
  address: "Opened in this browser, it shows all of this again.",
};

/** A filmstrip, side by side, or an animation. */
export interface Film {
  form: "png" | "webp" | "gif";
  first: number;
  last: number;
  frames: number;
  back: boolean;
}

const MIME = { png: "image/png", webp: "image/webp", gif: "image/gif" };

/** A text that the browser did not let onto the clipboard. */
export interface Refused {
  what: string;
  text: string;
}

export class Taking {
  /** What has just been done, or could not be. */
  said = $state("");
  refused = $state.raw<Refused | null>(null);
  /** How many frames of the film are made, and of how many; null while none is asked for. */
  filming = $state.raw<[number, number] | null>(null);
  film = $state.raw<{ url: string; name: string } | null>(null);
  filmFailure = $state("");
  filmSaid = $state("");

  constructor(private readonly explorer: Explorer) {}

  /** Why nothing that needs a graft can be taken along; empty where it can. */
  get unless(): string {
    return assignments(this.explorer.state.steps).length > 0 ? "" : "Nothing is grafted yet.";
  }

  /** Why there is no PyTorch code; empty where there is. */
  get torchUnless(): string {
    const layers = this.explorer.model?.layers ?? [];
    const used = new Set(assignments(this.explorer.state.steps).map(({ layer }) => layer));
    const unknown = (layer: Layer): boolean => used.has(layer.name) && !layer.torch;
    const missing = layers.filter(unknown).map(layerName);
    if (missing.length === 0) return this.unless;
    return `The bundle does not say where PyTorch computes ${missing.join(", ")}.`;
  }

  /** The hybrid in its own size, with the state inside. */
  async savePicture(): Promise<void> {
    const hybrid = this.explorer.photographs.edited ?? this.explorer.pictures.hybrid;
    if (!hybrid) return;
    const canvas = new OffscreenCanvas(hybrid.width, hybrid.height);
    canvas.getContext("2d")!.putImageData(new ImageData(hybrid.rgba, hybrid.width, hybrid.height), 0, 0);
    const png = new Uint8Array(await (await canvas.convertToBlob({ type: "image/png" })).arrayBuffer());
    const file = new Blob([withText(png, await written(this.explorer.state))], { type: "image/png" });
    this.save(file, this.name("hybrid", "png"), "Dropped onto this page, it brings all of this back.");
  }

  /** What is grafted, as the command line reads it, with the state beside it. */
  saveGraft(): Promise<void> {
    return this.trying(async () => {
      const text = withState(await this.recipe("json"), await written(this.explorer.state));
      const hint = "graftscope hybridize --intervene reads it; dropped onto this page, it brings all of this back.";
      this.save(new Blob([text], { type: "application/json" }), this.name("graft", "json"), hint);
    });
  }

  /** The originals and the hybrid as numbers. */
  saveArrays(): Promise<void> {
    return this.trying(async () => {
      this.said = "The arrays are being made …";
      const { files } = await this.explorer.line.answer({ ask: "take", form: "npz", ...this.explorer.picture() });
      const file = new Blob([files.get("file")!], { type: "application/octet-stream" });
      this.save(file, this.name("hybrid", "npz"), "It holds original1, original2 and hybrid, in the generator’s own range.");
    });
  }

  /** Make a film, and save it. */
  async makeFilm({ form, back, ...range }: Film): Promise<void> {
    const name = this.name(`${form === "png" ? "filmstrip" : "animation"}-${range.first}-to-${range.last}`, form);
    const question = { ask: "take", form, there_and_back: back, ...range, ...this.explorer.picture() };
    this.forgetFilm();
    this.filming = [0, range.frames];
    try {
      const { files } = await this.explorer.line.answer(question, (progress) => (this.filming = progress as [number, number]));
      const data = files.get("file");
      if (!data) return;
      const file = new Blob([data], { type: MIME[form] });
      this.film = { url: URL.createObjectURL(file), name };
      save(file, name);
    } catch (error) {
      this.filmFailure = words(error);
    } finally {
      this.filming = null;
    }
  }

  /** Copy what makes a film without this page. */
  async copyFilm({ form, back, ...range }: Film): Promise<void> {
    this.forgetFilm();
    try {
      const { fields } = await this.explorer.line.answer({ ask: "film", form, there_and_back: back, ...range, ...this.explorer.picture() });
      await navigator.clipboard.writeText((fields.recipe as Record<string, string>).film!);
      this.filmSaid = `The command is on the clipboard. Pasted into a terminal, it writes strip.${form}.`;
    } catch (error) {
      this.filmFailure = words(error);
    }
  }

  stopFilm(): void {
    if (this.filming) this.explorer.line.ask({ ask: "leave" }, () => undefined);
  }

  forgetFilm(): void {
    if (this.film) URL.revokeObjectURL(this.film.url);
    this.film = null;
    this.filmFailure = "";
    this.filmSaid = "";
  }

  copy(form: Form): Promise<void> {
    return this.trying(async () => {
      const text = form === "address" ? await this.address() : await this.recipe(form);
      try {
        await navigator.clipboard.writeText(text);
        this.said = `${FORMS[form]} is on the clipboard. ${HINTS[form]}`;
      } catch {
        // Browsers refuse it where a page may not, or is not served securely.
        this.said = "";
        this.refused = { what: FORMS[form], text };
      }
    });
  }

  /** Bring back what a saved picture or graft was made of; another file becomes that original. */
  async restore(file: File, which: 0 | 1 | null = null): Promise<void> {
    const bytes = await bytesOf(file);
    const text = bytes && (textOf(bytes) ?? stateOf(bytes));
    if (text) await this.explorer.restore(text, `What ${file.name} was made of`);
    else if (which !== null) await this.explorer.photographs.take(file, which);
    else this.explorer.notice = `${file.name} does not say what it was made of: it is no picture or graft that this page has saved, or another program has written it anew. To make a photograph an original, drop it onto original 1 or original 2.`;
  }

  private async address(): Promise<string> {
    return `${location.origin}${location.pathname}${this.explorer.opener.before(await written(this.explorer.state))}`;
  }

  /** How the picture is made without this page, in one of the forms that the gateway knows. */
  private async recipe(form: string): Promise<string> {
    const ask = form === "torch" ? "torch" : "recipe";
    const { fields } = await this.explorer.line.answer({ ask, ...this.explorer.picture() });
    return (fields.recipe as Record<string, string>)[form]!;
  }

  private name(what: string, suffix: string): string {
    const { model, originals } = this.explorer.state;
    return `${model}-${originals.map(fileName).join("-")}-${what}.${suffix}`;
  }

  private save(file: Blob, name: string, hint: string): void {
    save(file, name);
    this.said = `${name} is saved. ${hint}`;
  }

  private async trying(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.said = `That did not work: ${words(error)}`;
    }
  }
}

function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
