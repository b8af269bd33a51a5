// What opens a page in a frame, where a browser may send no cookies: a key behind the # of its
// address, which reaches no server's log. It is taken out of the address at once, and kept with the
// tab's history, so that a reload knows it.

const MARK = "#key=";

/** The protocol of the WebSocket, and what the key is called beside it. */
const PROTOCOL = "graftscope";

export class Key {
  private value = "";

  /** Take the key out of the address, if there is one; what stands behind it stays. */
  take(): void {
    if (location.hash.startsWith(MARK)) {
      const [key, state] = location.hash.slice(MARK.length).split("&", 2);
      this.value = key ?? "";
      this.write(state ? `#${state}` : "");
    } else {
      this.value ||= (history.state as { key?: string } | null)?.key ?? "";
    }
  }

  /** Write what stands behind the # into the address. */
  write(hash: string): void {
    history.replaceState(this.value ? { key: this.value } : null, "", `${location.pathname}${hash}`);
  }

  /** What opens the page elsewhere: the key, where there is one, before what stands behind the #. */
  before(hash: string): string {
    return this.value ? `${MARK}${this.value}&${hash.slice(1)}` : hash;
  }

  protocols(): string[] {
    return this.value ? [PROTOCOL, `key.${this.value}`] : [];
  }

  headers(): Record<string, string> {
    return this.value ? { Authorization: `Bearer ${this.value}` } : {};
  }
}
