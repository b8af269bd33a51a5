"""What is said of faithfulness: the rows of its table, and its verdicts in sentences."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from graftscope.client.values._faithfulness import MEASURES, FaithfulnessResult
from graftscope.client.words import counted, with_error

_CONTROLS = {
    "count": "random sets of as many channels",
    "influence": "random sets of as much influence",
}
_REFERENCES = {"samples": "samples", "data": "real images"}
_JUDGED = {1: "more faithful", 0: "not told apart", -1: "less faithful"}

Numbers = tuple[tuple[float, float], ...]
"""Values with their standard errors."""

COLUMNS = ("Fréchet", "above the floor", "kernel x 1000", *MEASURES[2:])
"""What each number of a row is."""


@dataclass(frozen=True)
class FaithfulnessRow:
    """What is told of some images against a reference.

    Args:
        name: Of the images.
        channels: How many are swapped, the mean over several sets; 0 where pixels are mixed.
        numbers: In the order of `COLUMNS`.
    """

    name: str
    channels: int
    numbers: Numbers


def rows_of_modules(value: FaithfulnessResult, reference: int) -> Iterator[FaithfulnessRow]:
    """Each module, with the means of its random sets and its own ceiling below it.

    Args:
        value: The result.
        reference: Which reference they are compared with.
    """
    for module in value.modules:
        yield _row(value, reference, value.places("module", module)[0], f"module {module}")
        for kind in value.against:
            if places := value.places(kind, module):
                found = [
                    value.of_controls(measure, kind, module, reference) for measure in _measures()
                ]
                channels = round(float(value.channels[places].mean()))
                name = f"- {len(places)} {_CONTROLS[kind]}"
                yield FaithfulnessRow(name, channels, _scaled(found))
        for place in value.places("pasted", module):
            yield _row(value, reference, place, "- pasted where its template shows it")


def rows_beside(value: FaithfulnessResult, reference: int) -> Iterator[FaithfulnessRow]:
    """The floor, the whole layer and the ceilings. Arguments as of `rows_of_modules`."""
    named = {
        "floor: other samples": value.places("floor"),
        "the whole layer": value.places("layer"),
        "ceiling: two originals, half each": value.places("pasted", -1),
        "ceiling: two originals, blended": value.places("blended"),
    }
    for name, (place,) in named.items():
        row = _row(value, reference, place, name)
        if name.startswith("floor"):
            # How far it is above itself is no finding.
            distance, _, *others = row.numbers
            row = replace(row, numbers=(distance, (math.nan, math.nan), *others))
        yield row


def told_reference(name: str) -> str:
    """Say what sets are compared with."""
    return _REFERENCES.get(name, name)


def told_faithfulness(value: FaithfulnessResult) -> str:
    """Say in a line what was compared with what."""
    images = f" and {counted(value.images, 'real image')}" if value.images else ""
    return (
        f"{counted(len(value.modules), 'module')} of {value.model}, layer {value.layer}:"
        f" {counted(value.pairs, 'hybrid')} of each against as many samples ({value.originals})"
        f"{images}, by {counted(value.feature_count, 'feature')} of {value.features}"
    )


def told_verdicts(value: FaithfulnessResult) -> list[str]:
    """Say of each reference and kind of controls how modules differ from them, in a sentence."""
    return [
        *(
            _verdict(value, q, r)
            for r in range(len(value.references))
            for q in range(len(value.against))
        ),
        *_of_decoding(value),
    ]


def _verdict(value: FaithfulnessResult, q: int, r: int) -> str:
    told = [
        f"module {module} is {_JUDGED[int(value.judged[q, r, k])]}"
        f" ({with_error(value.verdict[q, r, k], value.verdict_stderr[q, r, k], '+')})"
        for k, module in enumerate(value.modules)
    ]
    return (
        f"Beside {_CONTROLS[value.against[q]]}, by Fréchet distance from"
        f" {told_reference(value.references[r])}: {', '.join(told)}."
    )


def _of_decoding(value: FaithfulnessResult) -> Iterator[str]:
    if value.decoding is None or value.decoding_stderr is None:
        return
    both = zip(value.decoding, value.decoding_stderr, strict=True)
    off = [with_error(100 * x, 100 * stderr) for x, stderr in both]
    told = [f"{off[x]} % (module {value.module[x]})" for x in value.places("module")]
    yield (
        f"Encoded and decoded again, hybrids are off by {', '.join(told)} of the range, samples by"
        f" {off[value.places('floor')[0]]} %."
    )


def _measures() -> tuple[str, ...]:
    return ("frechet", "excess", *MEASURES[1:])


def _row(value: FaithfulnessResult, reference: int, place: int, name: str) -> FaithfulnessRow:
    found = [
        (
            float(getattr(value, measure)[reference, place]),
            float(getattr(value, f"{measure}_stderr")[reference, place]),
        )
        for measure in _measures()
    ]
    return FaithfulnessRow(name, int(value.channels[place]), _scaled(found))


def _scaled(numbers: list[tuple[float, float]]) -> Numbers:
    """Kernel distances are small: in thousandths."""
    frechet, excess, (kernel, stderr), *shares = numbers
    return frechet, excess, (1000 * kernel, 1000 * stderr), *shares
