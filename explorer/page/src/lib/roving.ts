// A group of buttons as one stop of the Tab key: arrows, Home and End go through it.

const NEXT: Record<string, number> = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

export function roving(group: HTMLElement): () => void {
  let current: HTMLElement | undefined;

  function all(): HTMLElement[] {
    return [...group.querySelectorAll<HTMLElement>("button:not(:disabled)")];
  }

  function settle(): void {
    const buttons = all();
    if (!current || !buttons.includes(current)) {
      current = buttons.find((each) => each.ariaPressed === "true") ?? buttons[0];
    }
    for (const each of buttons) each.tabIndex = each === current ? 0 : -1;
  }

  function focused({ target }: FocusEvent): void {
    current = target as HTMLElement;
    settle();
  }

  function pressed(event: KeyboardEvent): void {
    const buttons = all();
    const at = buttons.indexOf(document.activeElement as HTMLElement);
    if (at < 0 || event.ctrlKey || event.altKey || event.metaKey) return;
    const to = event.key === "Home" ? 0 : event.key === "End" ? buttons.length - 1 : at + (NEXT[event.key] ?? 0);
    if (to === at || !buttons[to]) return;
    event.preventDefault();
    buttons[to].focus();
  }

  const observer = new MutationObserver(settle);
  observer.observe(group, { childList: true, subtree: true, attributes: true, attributeFilter: ["disabled"] });
  group.addEventListener("focusin", focused);
  group.addEventListener("keydown", pressed);
  settle();
  return () => {
    observer.disconnect();
    group.removeEventListener("focusin", focused);
    group.removeEventListener("keydown", pressed);
  };
}
