// The state in the page's address, behind the #: JSON, compressed, in letters that addresses allow.

import { StateError } from "./checks";
import { checked, VERSION, type State } from "./state";

const FORMAT = "deflate-raw";
const MOST_CHARACTERS = 1_000_000;
const MOST_BYTES = 4_000_000;

export async function written(state: State): Promise<string> {
  const bytes = await through(new TextEncoder().encode(JSON.stringify(state)), new CompressionStream(FORMAT));
  const letters = btoa(String.fromCharCode(...bytes));
  return `#${VERSION}.${letters.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "")}`;
}

/** Read what stands behind the #; null where nothing does. */
export async function read(hash: string): Promise<State | null> {
  const rest = hash.replace(/^#/, "");
  if (!rest) return null;
  const [version, letters] = rest.split(".", 2);
  if (!/^[12]$/.test(version ?? "") || !letters) {
    throw new StateError(`it is of version ${(version ?? "").slice(0, 12)}, and this page knows those up to ${VERSION}`);
  }
  if (letters.length > MOST_CHARACTERS) throw new StateError("it is too long");
  return checked(await value(letters), Number(version));
}

async function value(letters: string): Promise<unknown> {
  try {
    const bytes = Uint8Array.from(atob(letters.replaceAll("-", "+").replaceAll("_", "/")), (each) => each.charCodeAt(0));
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(await through(bytes, new DecompressionStream(FORMAT))));
  } catch {
    throw new StateError("it was changed or cut off on its way");
  }
}

async function through(bytes: Uint8Array<ArrayBuffer>, stream: CompressionStream | DecompressionStream): Promise<Uint8Array> {
  const reader = new Blob([bytes]).stream().pipeThrough(stream).getReader();
  const parts: Uint8Array[] = [];
  let total = 0;
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    total += next.value.length;
    if (total > MOST_BYTES) throw new StateError("it is too large");
    parts.push(next.value);
  }
  const whole = new Uint8Array(total);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
