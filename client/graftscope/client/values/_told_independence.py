"""What is said of independence: the rows of its tables, and what each means in a sentence."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from graftscope.client.values._independence import IndependenceResult
from graftscope.client.words import counted, number, with_spread

SURE = 2.0
"""Standard errors that a difference must exceed to be told from none."""

_NAMES = {
    "mixture": "each module from another donor",
    "donor": "all modules from one donor",
    "floor": "floor: other samples",
}
_DIGITS = {"frechet": 2, "kernel": 2, "precision": 3, "recall": 3, "density": 2, "coverage": 3}
_TITLES = {"frechet": "Fréchet", "kernel": "kernel x 1000"}
_OVER = {
    "over_donor": "mixture - one donor",
    "over_modules": "mixture - single modules",
    "over_floor": "mixture - floor",
}


@dataclass(frozen=True)
class IndependenceTable:
    """A table of a result, and what it means.

    Args:
        means: In a sentence.
        heads: Of the columns.
        rows: Of words.
    """

    means: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def independence_tables(value: IndependenceResult) -> Iterator[IndependenceTable]:
    """The four questions, a table each."""
    yield _mixture(value)
    if len(value.module) > 1:
        yield _interaction(value)
    yield _spill(value)
    yield _spectral(value)


def told_independence(value: IndependenceResult) -> str:
    """Say in a line what was measured on what."""
    return (
        f"{counted(len(value.module), 'module')} of {value.model}, layer {value.layer},"
        f" {counted(value.pairs, 'pair')} ({value.originals}); ± is one standard error over pairs"
    )


def told_mixture(value: IndependenceResult) -> str:
    """Say whether mixtures are as real as hybrids of one donor, by their Fréchet distance."""
    more, stderr = float(value.over_donor[0]), float(value.over_donor_stderr[0])
    told = f"{more:+.3g} ± {stderr:.2g}"
    if abs(more) <= SURE * stderr or not math.isfinite(stderr):
        return f"Mixtures are not told apart from hybrids of one donor (Fréchet {told})."
    which = "less real than" if more > 0 else "closer to samples than"
    return f"Mixtures are {which} hybrids of one donor (Fréchet {told})."


def _mixture(value: IndependenceResult) -> IndependenceTable:
    modules = iter(value.module.tolist())
    names = [_NAMES.get(kind) or f"module {next(modules)} alone" for kind in value.kinds]
    rows = [
        (name, *(_cell(value, measure, place) for measure in value.measures))
        for place, name in enumerate(names)
    ]
    for over, name in _OVER.items():
        found, errors = getattr(value, over), getattr(value, f"{over}_stderr")
        both = zip(value.measures, found, errors, strict=True)
        rows.append((name, *(_number(measure, x, stderr) for measure, x, stderr in both)))
    heads = tuple(_TITLES.get(measure, measure) for measure in value.measures)
    return IndependenceTable(
        "Do modules fit together that come from different donors? Distances from samples by"
        f" {counted(value.feature_count, 'feature')} of {value.features}: the nearer to the floor,"
        f" the more real. {told_mixture(value)}",
        ("hybrids", *heads),
        tuple(rows),
    )


def _interaction(value: IndependenceResult) -> IndependenceTable:
    rows = [
        (
            f"module {module}",
            *(
                "" if i == j else _percent(value.interaction[i, j], value.interaction_stderr[i, j])
                for j in range(len(value.module))
            ),
        )
        for i, module in enumerate(value.module.tolist())
    ]
    return IndependenceTable(
        "Do two modules change what each other does? What the effect of both is more or less than"
        " the sum of their effects, in % of the effect of both: 0 if they act independently.",
        ("interaction, %", *(f"with module {module}" for module in value.module.tolist())),
        tuple(rows),
    )


def _spill(value: IndependenceResult) -> IndependenceTable:
    rows = [
        (
            f"module {module}",
            str(value.channels[k]),
            _percent(value.spill[k], value.spill_stderr[k]),
            number(100 * value.area_outside[k], 1),
        )
        for k, module in enumerate(value.module.tolist())
    ]
    return IndependenceTable(
        "Does a module act where its template says? The share of its change that falls outside of"
        f" the template's pixels above the {value.percentile:g}th percentile"
        f" ({counted(value.spill_pairs, 'pair')}); a change that is the same everywhere spills as"
        " much as lies outside.",
        ("spill", "channels", "spill, %", "picture outside, %"),
        tuple(rows),
    )


def _spectral(value: IndependenceResult) -> IndependenceTable:
    rows = [
        (
            f"{upper} -> {lower}",
            *(
                (absent, "", "")
                if absent
                else (
                    with_spread(value.spectral[i], value.spectral_stderr[i], 3),
                    with_spread(value.spectral_swapped[i], value.spectral_swapped_stderr[i], 3),
                    number(value.spectral_spread[i]),
                )
            ),
        )
        for i, (upper, lower, absent) in enumerate(
            zip(value.upper, value.lower, value.absent, strict=True)
        )
    ]
    return IndependenceTable(
        "Are a layer's kernels independent of the maps that they read? The spectral density ratio"
        " of the whole model: 1 if they are, above 1 if they pass the frequencies that the maps are"
        " strong in. Swapped: with the kernels of other channels.",
        ("layers", "spectral ratio", "swapped", "spread over channels"),
        tuple(rows),
    )


def _cell(value: IndependenceResult, measure: str, place: int) -> str:
    found, stderr = getattr(value, measure)[place], getattr(value, f"{measure}_stderr")[place]
    return _number(measure, found, stderr)


def _number(measure: str, value: float, stderr: float) -> str:
    scale = 1000 if measure == "kernel" else 1
    return with_spread(scale * value, scale * stderr, _DIGITS.get(measure, 3))


def _percent(value: float, stderr: float) -> str:
    return with_spread(100 * value, 100 * stderr, 1)
