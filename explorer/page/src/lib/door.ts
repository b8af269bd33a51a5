// How this page was opened: by an address that was printed, by signing in, or in a frame.

import type { Key } from "./key";

export type Kind = "address" | "sign-in" | "frame";

export interface Door {
  kind: Kind;
  /** Whether the gateway knows this browser. */
  isOpen: boolean;
}

/** Ask the gateway; null where none answers. */
export async function knock(key: Key): Promise<Door | null> {
  try {
    const answer = await fetch("./who", { cache: "no-store", headers: key.headers() });
    const { door } = (await answer.json()) as { door: Kind };
    return { kind: door, isOpen: answer.ok };
  } catch {
    return null;
  }
}

/** End the session, and go to where one signs in; what stands behind the # stays. */
export async function signOut(): Promise<void> {
  await fetch("./sign-out", { method: "POST", redirect: "manual" }).catch(() => undefined);
  location.reload();
}
