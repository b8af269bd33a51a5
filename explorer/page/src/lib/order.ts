// A list that is put in another order by dragging.

export interface Drag {
  /** Which item is dragged, and how far, in CSS pixels. */
  at: number;
  by: number;
  /** Where items lay when it began. */
  tops: number[];
  heights: number[];
}

/** How far the item may be dragged: not beyond the list's ends. */
export function held({ at, tops, heights }: Drag, by: number): number {
  const last = tops.length - 1;
  const lowest = tops[last]! + heights[last]! - heights[at]!;
  return Math.min(lowest - tops[at]!, Math.max(tops[0]! - tops[at]!, by));
}

/** The place that the item would have: after those whose middle it has passed with the edge that goes ahead. */
export function placeOf({ at, by, tops, heights }: Drag): number {
  const edge = tops[at]! + by + (by > 0 ? heights[at]! : 0);
  return tops.filter((top, index) => index !== at && top + heights[index]! / 2 < edge).length;
}

/** How far each item is from where it lay: the dragged one as far as it was dragged, others make room. */
export function offset(drag: Drag, index: number): number {
  const { at, by, tops, heights } = drag;
  if (index === at) return by;
  const place = placeOf(drag);
  const gap = tops.length > 1 ? tops[1]! - tops[0]! - heights[0]! : 0;
  if (index > at && index <= place) return -(heights[at]! + gap);
  return index < at && index >= place ? heights[at]! + gap : 0;
}
