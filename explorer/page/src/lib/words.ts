// Numbers in words, each with its unit, as the report writes them.

export const NO_BREAK = "\u00a0";

/** A share, 0 to 1, in percent; below one percent with two significant digits. */
export function percent(share: number, digits = 1): string {
  const amount = 100 * share;
  const wanted = amount > 0 && amount < 1 ? Math.min(4, 1 - Math.floor(Math.log10(amount))) : digits;
  return `${amount.toFixed(wanted)}${NO_BREAK}%`;
}

/** A share and its standard error, both to the error's second digit. */
export function withError(share: number, error: number | null): string {
  if (error === null || !(error > 0)) return percent(share);
  const digits = Math.min(5, Math.max(1, 1 - Math.floor(Math.log10(100 * error))));
  return `${(100 * share).toFixed(digits)}${NO_BREAK}±${NO_BREAK}${(100 * error).toFixed(digits)}${NO_BREAK}%`;
}

export function counted(amount: number, word: string): string {
  return `${amount.toLocaleString("en")} ${word}${amount === 1 ? "" : "s"}`;
}

export function duration(seconds: number): string {
  const whole = Math.max(1, Math.round(seconds));
  if (whole < 60) return `${whole}${NO_BREAK}s`;
  return `${Math.floor(whole / 60)}${NO_BREAK}min ${String(whole % 60).padStart(2, "0")}${NO_BREAK}s`;
}

/** Millions of operations, with the word that fits. */
export function operations(mflop: number): string {
  if (mflop <= 0) return "unknown";
  if (mflop >= 1000) return `${(mflop / 1000).toPrecision(2)}${NO_BREAK}GFLOP`;
  return `${mflop >= 10 ? mflop.toFixed(0) : mflop.toPrecision(2)}${NO_BREAK}MFLOP`;
}

export function weighted(weight: number): string {
  return `${weight < 0 ? "−" : ""}${Math.abs(weight).toFixed(2)}`;
}
