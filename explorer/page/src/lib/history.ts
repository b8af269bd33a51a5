// Undo and redo: a stack of states, of which only what makes the picture goes back, and the region
// that is meant to change.

import type { State } from "./state";

const MOST = 200;

export interface History {
  past: State[];
  present: State;
  future: State[];
  /** What the latest change was of: changes of one gesture are one step back. */
  gesture: string;
}

export function begun(state: State): History {
  return { past: [], present: state, future: [], gesture: "" };
}

/** Whether two states make the same picture, and mean the same part of it. */
function samePicture(one: State, other: State): boolean {
  return one.model === other.model && one.originals === other.originals && one.truncation === other.truncation && one.steps === other.steps && one.region === other.region;
}

export function changed(history: History, state: State, gesture = ""): History {
  if (samePicture(history.present, state)) return { ...history, present: state };
  const goesOn = gesture !== "" && gesture === history.gesture;
  const past = goesOn ? history.past : [...history.past, history.present].slice(-MOST);
  return { past, present: state, future: [], gesture };
}

export function undone(history: History): History {
  const before = history.past.at(-1);
  if (!before) return history;
  const future = [history.present, ...history.future];
  return { past: history.past.slice(0, -1), present: restored(before, history.present), future, gesture: "" };
}

export function redone(history: History): History {
  const [next, ...future] = history.future;
  if (!next) return history;
  return { past: [...history.past, history.present], present: restored(next, history.present), future, gesture: "" };
}

/** The same history, in which something was found out about all of its states. */
export function told(history: History, tell: (state: State) => State): History {
  return { ...history, past: history.past.map(tell), present: tell(history.present), future: history.future.map(tell) };
}

/** Another picture, looked at as the present one. */
function restored(other: State, present: State): State {
  if (other.model !== present.model) return other;
  return { ...present, originals: other.originals, truncation: other.truncation, steps: other.steps, region: other.region };
}
