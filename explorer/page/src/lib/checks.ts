// Checks of values that were read from somewhere: each gives the value with its type, or says what
// is wrong with it.

/** In words for whoever made the address. */
export class StateError extends Error {}

export function record(value: unknown, name: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new StateError(`${name} is not an object`);
  }
  return value as Record<string, unknown>;
}

export function list(value: unknown, name: string, most: number): unknown[] {
  if (!Array.isArray(value) || value.length > most) {
    throw new StateError(`${name} must be a list of at most ${most}`);
  }
  return value;
}

export function text(value: unknown, name: string): string {
  if (typeof value !== "string" || value.length > 512) throw new StateError(`${name} is no name`);
  return value;
}

export function number(value: unknown, name: string, low: number, high: number): number {
  if (typeof value !== "number" || !(value >= low && value <= high)) {
    throw new StateError(`${name} ${told(value)} must be from ${low} to ${high}`);
  }
  return value;
}

export function whole(value: unknown, name: string, low: number, high: number): number {
  const found = number(value, name, low, high);
  if (!Number.isInteger(found)) throw new StateError(`${name} ${found} must be a whole number`);
  return found;
}

export function told(value: unknown): string {
  return (JSON.stringify(value) ?? "nothing").slice(0, 40);
}
