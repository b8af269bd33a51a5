"""What classifiers make of modules' hybrids, as a card; and in words, for whoever prints it."""

from collections.abc import Iterator

import numpy as np

from graftscope.client.display._cards import Card, Table
from graftscope.client.display._provenance import provenance_of
from graftscope.client.values import ProbeResult
from graftscope.client.words import counted, with_spread

PROBE_COLUMNS = ("swapped", "channels", "original 1's", "original 2's", "neither", "entropy, nats")
"""The columns of a classifier's table: whose class a hybrid has."""

_MOST_ROWS = 40
"""Of a table of classes or attributes; files have all of them."""

_JUDGED = {
    1: "is minded less than random sets",
    0: "is not told apart from random sets",
    -1: "is minded more than random sets",
}


def probe_card(value: ProbeResult) -> Card:
    """Show how often hybrids stay original 1's, and what becomes of the others."""
    return Card(
        title="Probe",
        of="what classifiers make of modules' hybrids",
        tables=[table for at in range(len(value.classifiers)) for table in _tables(value, at)],
        notes=[note for at in range(len(value.classifiers)) for note in probe_notes(value, at)],
        origin=provenance_of(value),
    )


def _tables(value: ProbeResult, classifier: int) -> Iterator[Table]:
    yield Table(
        probe_heading(value, classifier),
        list(PROBE_COLUMNS),
        [list(row) for row in probe_rows(value, classifier)],
    )
    columns, rows = probe_parts(value, classifier)
    if rows:
        yield Table(f"{value.classifiers[classifier].name}: {PROBE_PARTS}", columns, rows)


PROBE_PARTS = "how often hybrids keep what original 1 is, where original 2 is something else"
"""What `probe_parts` tells."""


def probe_parts(value: ProbeResult, classifier: int) -> tuple[list[str], list[list[str]]]:
    """Tell how often each class of original 1, or each attribute's sign, stays, module by module.

    Returns:
        The columns, and a row for each class or attribute of which there are pairs.
    """
    asked = value.classifiers[classifier]
    columns = ["class" if asked.exclusive else "attribute", "pairs"]
    columns += [f"module {module}" for module in value.modules]
    found = _of_classes(value, classifier) if asked.exclusive else _of_attributes(value, classifier)
    rows = []
    for number, (counts, stays) in list(found.items())[:_MOST_ROWS]:
        cells = [f"{kept / count:.0%}" for count, kept in zip(counts, stays, strict=True)]
        rows.append([asked.called(number), f"{counts[0]:,}", *cells])
    return columns, rows


_Counts = tuple[list[int], list[int]]
"""Of each module's hybrids, how many there are, and how many keep what original 1 is."""


def _of_classes(value: ProbeResult, classifier: int) -> dict[int, _Counts]:
    mine = (value.pair_classifier == classifier) & (value.pair_class1 != value.pair_class2)
    found = {}
    for number in np.unique(value.pair_class1[mine]).tolist():
        rows = [
            mine & (value.pair_class1 == number) & (value.pair_set == at)
            for at in value.places("module")
        ]
        counts = [int(value.pair_count[row].sum()) for row in rows]
        found[number] = counts, [int(value.pair_stays[row].sum()) for row in rows]
    return found


def _of_attributes(value: ProbeResult, classifier: int) -> dict[int, _Counts]:
    found = {}
    mine = value.attribute_classifier == classifier
    for number in np.unique(value.attribute_index[mine]).tolist():
        rows = [
            mine & (value.attribute_index == number) & (value.attribute_set == at)
            for at in value.places("module")
        ]
        counts = [int(value.attribute_differ[row].sum()) for row in rows]
        if counts[0]:
            found[number] = counts, [int(value.attribute_stays[row].sum()) for row in rows]
    return found


def probe_heading(value: ProbeResult, classifier: int) -> str:
    """Say whose table it is, and of how many pairs."""
    asked = value.classifiers[classifier]
    differ, same = int(value.differ[classifier]), int(value.same[classifier])
    if asked.exclusive:
        told = f"{counted(differ, 'pair')} of two classes, {same:,} of one"
    else:
        told = f"signs of attributes: {differ:,} differ between originals, {same:,} do not"
    return f"{asked.name}: {told}"


def probe_rows(value: ProbeResult, classifier: int) -> Iterator[tuple[str, ...]]:
    """Each module with the random sets that it is compared with, then the whole layer."""
    for module in value.modules:
        yield _row(value, classifier, value.places("module", module), f"module {module}")
        controls = value.places("count", module)
        if controls:
            yield _row(value, classifier, controls, f"  {counted(len(controls), 'random set')}")
    yield _row(value, classifier, value.places("layer"), "the whole layer")
    entropy = value.originals_entropy[classifier]
    stderr = value.originals_entropy_stderr[classifier]
    yield "nothing", "0", "-", "-", "-", with_spread(entropy, stderr, 3)


def _row(value: ProbeResult, classifier: int, places: list[int], called: str) -> tuple[str, ...]:
    """One set; or the means of several, between the lowest and the highest."""
    channels = f"{value.channels[places].mean():.0f}"
    entropy = float(value.entropy[classifier, places].mean())
    stderr = float(value.entropy_stderr[classifier, places].mean())
    shares = [_share(value, classifier, places, name) for name in ("stays", "becomes", "neither")]
    return called, channels, *shares, with_spread(entropy, stderr, 3)


def _share(value: ProbeResult, classifier: int, places: list[int], name: str) -> str:
    shares = getattr(value, name)[classifier, places]
    if np.isnan(shares).any():
        return "-"
    if len(places) > 1:
        low, high = shares.min(), shares.max()
    else:
        low, high = (getattr(value, f"{name}_{end}")[classifier, places[0]] for end in _ENDS)
    return f"{shares.mean():.0%} ({low:.0%} to {high:.0%})"


_ENDS = ("low", "high")


def probe_notes(value: ProbeResult, classifier: int) -> Iterator[str]:
    """Say how the classifier took images, and which modules it minds."""
    asked = value.classifiers[classifier]
    scores = "probabilities" if asked.probabilities else "logits"
    yield f"{asked.name} took images as {asked.preprocessing}; its scores are {scores}"
    for at, module in enumerate(value.modules):
        verdict, stderr = value.verdict[classifier, at], value.verdict_stderr[classifier, at]
        if np.isfinite(verdict) and np.isfinite(stderr):
            judged = _JUDGED[int(value.judged[classifier, at])]
            how = "more" if verdict > 0 else "less"
            told = f"{100 * abs(verdict):.1f} ± {100 * stderr:.1f} points {how} often"
            yield f"module {module} {judged} by {asked.name}: its hybrids stay original 1's {told}"
    if int(value.same[classifier]):
        kept = [
            f"module {module} {value.same_stays[classifier, value.places('module', module)[0]]:.0%}"
            for module in value.modules
        ]
        unit = "of one class" if asked.exclusive else "of one sign"
        yield f"of originals {unit}, {asked.name} keeps it for: {', '.join(kept)}"
