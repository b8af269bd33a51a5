"""What serving costs, as `benchmarks.serving` measures it, in the form of a section."""

from collections.abc import Mapping

from benchmarks import markdown
from benchmarks.figures import Spread
from benchmarks.machine import Machine
from benchmarks.options import Options

LEVEL = "intermediate"


def measure(options: Options, _: Machine) -> dict[str, object]:
    """All of its measures at one level."""
    from benchmarks import serving

    rounds, round_s, pairs = (1, 0.3, 64) if options.quick else (5, 1.5, 512)
    return serving.measure(
        LEVEL,
        serving.MEASURES,
        workers=options.cores,
        rounds=rounds,
        round_s=round_s,
        job_pairs=pairs,
    )


def table(result: Mapping[str, object]) -> str:
    """One row a figure; spreads are the range that half of the rounds lie in."""
    rows = [
        [f"{measure}: {name.replace('_', ' ')}", _text(value)]
        for measure, found in result.items()
        if isinstance(found, Mapping)
        for name, value in _flat(found)
    ]
    return markdown.table(["figure", "median (half of the rounds)"], rows)


def _flat(found: Mapping[str, object]) -> list[tuple[str, object]]:
    """Figures by name; those of a mapping that is no spread with its name in front."""
    flat: list[tuple[str, object]] = []
    for name, value in found.items():
        if isinstance(value, Mapping) and "median" not in value:
            flat += [(f"{name} {inner}", x) for inner, x in value.items()]
        else:
            flat.append((name, value))
    return flat


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return markdown.ratio(Spread(**value))
    return f"{value:.2f}" if isinstance(value, float) else str(value)
