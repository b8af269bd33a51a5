// Files that leave the page, and that come back.

export type Bytes = Uint8Array<ArrayBuffer>;

const MOST_BYTES = 64 * 2 ** 20;
const KEPT_MS = 60_000;

/** Hand a file to the browser, which keeps it where downloads go. */
export function save(file: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), KEPT_MS);
}

/** The bytes of a file; null of one that is too large to be one of the page's. */
export async function bytesOf(file: File): Promise<Bytes | null> {
  return file.size > MOST_BYTES ? null : new Uint8Array(await file.arrayBuffer());
}

const KEY = "explorer";

/** Put the page's state into an intervention's file, which holds one JSON object. */
export function withState(json: string, state: string): string {
  return `${json.trimEnd().replace(/\}$/, "")}, ${JSON.stringify(KEY)}: ${JSON.stringify(state)}}\n`;
}

/** The state in an intervention's file; null where there is none, or it is no such file. */
export function stateOf(bytes: Bytes): string | null {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    const found = value && typeof value === "object" ? (value as Record<string, unknown>)[KEY] : null;
    return typeof found === "string" ? found : null;
  } catch {
    return null;
  }
}
