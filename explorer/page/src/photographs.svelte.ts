// Photographs as originals: files that are dropped or chosen, and what became of them.

import type { Explorer } from "./explorer.svelte";
import type { Pixels } from "./lib/frames";
import { LARGEST_ENCODING, type Photograph } from "./lib/originals";
import { edited, inBase64, MOST_BYTES } from "./lib/photograph";

/** What is said of the latest file, where it was dropped. */
export interface Said {
  words: string;
  wrong: boolean;
}

export class Photographs {
  /** Names of files that are being encoded, for each original. */
  encoding = $state<[string, string]>(["", ""]);
  said = $state.raw<[Said | null, Said | null]>([null, null]);
  /** Whether the photograph is shown with the hybrid's change, instead of the hybrid. */
  keep = $state(false);
  private pixels = $state.raw<Record<string, Pixels>>({});
  private asked = [0, 0];

  constructor(private readonly explorer: Explorer) {}

  /** The photograph of an original; null where it has none, or only its encoding came along. */
  of(which: 0 | 1): Pixels | null {
    const { photograph } = this.explorer.state.originals[which];
    return (photograph && this.pixels[key(photograph)]) ?? null;
  }

  /** The photograph with what the grafts change in its reconstruction, where that is wanted. */
  get edited(): Pixels | null {
    const { original1, hybrid } = this.explorer.pictures;
    const photograph = this.keep ? this.of(0) : null;
    return photograph && original1 && hybrid ? edited(photograph, original1, hybrid) : null;
  }

  /** Go back to the original's seed. */
  remove(which: 0 | 1): void {
    this.say(which, null);
    this.explorer.changeOriginal(which, { photograph: null });
  }

  /** Say nothing of files any more; the originals are another model's. */
  forget(): void {
    this.said = [null, null];
  }

  /** Encode a file, and make an original of it. */
  async take(file: File, which: 0 | 1): Promise<void> {
    const { model } = this.explorer;
    const number = ++this.asked[which]!;
    if (!model?.encoder) return this.say(which, { words: this.noEncoder(), wrong: true });
    if (file.size > MOST_BYTES) {
      return this.say(which, { words: `${file.name} has ${(file.size / 2 ** 20).toFixed(0)} MiB; at most ${MOST_BYTES / 2 ** 20} MiB are read. Make it smaller first.`, wrong: true });
    }
    this.say(which, null);
    this.encoding[which] = file.name;
    try {
      const { fields, images } = await this.explorer.line.answer({ ask: "encode", model: model.name, file: await inBase64(file) });
      if (number !== this.asked[which] || model.name !== this.explorer.state.model) return;
      const photograph = { name: file.name.slice(-200), latents: fields.latents as Record<string, string> };
      if (Object.values(photograph.latents).some((each) => each.length > LARGEST_ENCODING)) {
        throw new Error("what the model makes of it is too large for this page to keep");
      }
      this.pixels = { ...this.pixels, [key(photograph)]: images.get("photograph")! };
      this.explorer.changeOriginal(which, { photograph });
      this.say(which, { words: (fields.notes as string[]).join(" "), wrong: false });
    } catch (error) {
      if (number === this.asked[which]) this.say(which, { words: `${file.name} cannot be an original: ${(error as Error).message}`, wrong: true });
    } finally {
      if (number === this.asked[which]) this.encoding[which] = "";
    }
  }

  private noEncoder(): string {
    const { model, models } = this.explorer;
    const others = models.filter(({ encoder }) => encoder).map(({ name }) => name);
    const which = others.length > 0 ? `These models take photographs: ${others.join(", ")}.` : "No model of this server has one.";
    return `Model ${model?.name ?? ""} has no encoder, so no photograph can be an original of it. ${which}`;
  }

  private say(which: 0 | 1, said: Said | null): void {
    this.said = which === 0 ? [said, this.said[1]] : [this.said[0], said];
  }
}

function key(photograph: Photograph): string {
  return Object.values(photograph.latents).join();
}
