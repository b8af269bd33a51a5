// Titles of what is pointed at: the sentences that say what a thing is, taken off while they are
// shown elsewhere, so that the browser does not show them a second time.

const kept = new Map<Element, string>();

/** The title that holds for an element: its own, or that of what it is in. */
export function titled(element: Element | null): Element | null {
  return element?.closest("[title]") ?? null;
}

/** The sentences of an element and, for who cannot point at them, of what is in it. */
export function sentences(element: Element, inner: boolean): string[] {
  const all = inner ? [element, ...element.querySelectorAll("[title]")] : [element];
  return [...new Set(all.map((each) => each.getAttribute("title") ?? "").filter(Boolean))];
}

/** Take the titles off that the browser would show. */
export function takeOff(element: Element): void {
  for (let each: Element | null = element; each; each = each.parentElement) {
    const title = each.getAttribute("title");
    if (title === null) continue;
    kept.set(each, title);
    each.removeAttribute("title");
  }
}

/** Put them back, unless there are others by now. */
export function putBack(): void {
  for (const [each, title] of kept) if (!each.hasAttribute("title")) each.setAttribute("title", title);
  kept.clear();
}
