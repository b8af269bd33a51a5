// What the page shows while a picture is computed: the last one or a preview, marked as what it is.

import type { Pixels } from "./lib/frames";
import { Previews, type Asked } from "./lib/preview";

const SLOW_MS = 400;
const TICK_MS = 100;

export class Waiting {
  /** Whether the picture shown is not yet the one that is asked for, and has not been for a while. */
  late = $state(false);
  /** Since the picture that is shown was no longer the one that is asked for. */
  seconds = $state(0);
  preview = $state.raw<Pixels | null>(null);
  /** Whether the originals shown are the last ones, too. */
  oldOriginals = $state(false);
  private readonly previews = new Previews();
  private shownOriginals = "";
  /** What there may be a preview of. */
  private wanted: Asked | null = null;
  private since = 0;
  private took = 0;
  private timer = 0;

  /** A picture is asked for. */
  asked(picture: Asked): void {
    this.since ||= performance.now();
    this.oldOriginals = picture.originals !== this.shownOriginals;
    this.wanted = picture;
    this.preview = null;
    // Whoever waited once is told at once the next time.
    this.late = this.late || this.took > SLOW_MS;
    if (!this.timer) this.timer = setInterval(() => this.tick(), TICK_MS);
    this.tick();
  }

  /** A picture has come, and is the one that was asked for last, or an earlier one. */
  shown(picture: Asked, pixels: { original1: Pixels | null; hybrid: Pixels | null }, isLast: boolean): void {
    if (pixels.original1) this.previews.remember({ originals: picture.originals, steps: [] }, pixels.original1);
    if (pixels.hybrid) this.previews.remember(picture, pixels.hybrid);
    this.shownOriginals = picture.originals;
    this.took = performance.now() - this.since;
    if (isLast) this.end();
    else this.since = performance.now();
  }

  /** Nothing is waited for any more. */
  end(): void {
    clearInterval(this.timer);
    this.timer = 0;
    this.since = 0;
    this.late = false;
    this.oldOriginals = false;
    this.preview = null;
    this.wanted = null;
  }

  private tick(): void {
    this.seconds = (performance.now() - this.since) / 1000;
    this.late ||= 1000 * this.seconds > SLOW_MS;
    if (this.late && this.wanted) {
      this.preview = this.previews.of(this.wanted);
      this.wanted = null;
    }
  }
}
