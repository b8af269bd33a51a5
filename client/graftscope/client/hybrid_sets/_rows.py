"""The rows of a set's table: which image has which module of which original."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from graftscope.client.hybrid_sets._wanted import HybridSet

REST = "rest"
"""Where a row says of the channels of no module what it says of each module."""

Source = tuple[int, int]
"""An original: its pair, and whether it is original 1 or 2."""


@dataclass(frozen=True)
class HybridRow:
    """An image of a set.

    Args:
        file: Its file's name, in the folder of images.
        kind: ``original``, ``module`` or ``mixture``.
        pair: Index of its pair; original 1 of that pair is what is left of it elsewhere.
        modules: The modules that do not come from original 1 of its pair; of an original none.
        sources: The original that each module comes from, and those channels that are in no module
            (`REST`): the stem of the original's own file name, such as ``000012-original2``.
        classes: The class of each of these originals; empty where there are no classes.
    """

    file: str
    kind: str
    pair: int
    modules: tuple[int, ...]
    sources: Mapping[str, str]
    classes: Mapping[str, int] = field(default_factory=dict)


def rows_of(wanted: HybridSet, pair: int) -> Iterator[HybridRow]:
    """List the images of a pair, without classes, in the order of the table."""
    own, other = (pair, 1), (pair, 2)
    if wanted.with_originals:
        for source in (own, other):
            yield _row(wanted, f"{stem(source)}.png", "original", pair, (), source, {})
    for module in wanted.swapped:
        name = f"{pair:06d}-module{module}.png"
        yield _row(wanted, name, "module", pair, (module,), own, {module: other})
    for mixture in range(wanted.mixtures):
        name = f"{pair:06d}-mixture{mixture}.png"
        donors = donors_of(wanted, pair, mixture)
        yield _row(wanted, name, "mixture", pair, wanted.filled, own, donors)


def donors_of(wanted: HybridSet, pair: int, mixture: int) -> dict[int, Source]:
    """The original that each module of a mixture comes from: no two have the same one."""
    first = pair + mixture * len(wanted.filled)
    return {module: ((first + at) % wanted.pairs, 2) for at, module in enumerate(wanted.filled)}


def stem(source: Source) -> str:
    """Name an original, as its own file is named."""
    pair, which = source
    return f"{pair:06d}-original{which}"


def source_of(stem: str) -> Source:
    """Read what `stem` named."""
    pair, _, which = stem.partition("-original")
    return int(pair), int(which)


def _row(
    wanted: HybridSet,
    file: str,
    kind: str,
    pair: int,
    modules: tuple[int, ...],
    of: Source,
    donors: Mapping[int, Source],
) -> HybridRow:
    rest = {REST: stem(of)} if wanted.has_rest else {}
    each = {str(module): stem(donors.get(module, of)) for module in wanted.filled}
    return HybridRow(file, kind, pair, modules, {**each, **rest})


def to_line(row: HybridRow, seed: int, layer: str) -> str:
    """Write a row as a line of JSON, with the seed of its pair and the layer's name."""
    said = {
        "file": row.file,
        "kind": row.kind,
        "pair": row.pair,
        "seed": seed,
        "layer": layer,
        "modules": list(row.modules),
        "sources": dict(row.sources),
    }
    return json.dumps({**said, "classes": dict(row.classes)} if row.classes else said)


def to_csv(lines: Sequence[str]) -> str:
    """Write lines of JSON as a table with a column for the source, and the class, of each module.

    Args:
        lines: At least one, of one set.
    """
    text = io.StringIO()
    rows = [_flat(json.loads(line)) for line in lines]
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _flat(row: dict[str, object]) -> dict[str, object]:
    sources, classes = row.pop("sources"), row.pop("classes", {})
    assert isinstance(sources, dict)
    assert isinstance(classes, dict)
    modules = row.pop("modules")
    assert isinstance(modules, list)
    flat = {**row, "modules": " ".join(map(str, modules))}
    for part, source in sources.items():
        name = part if part == REST else f"module_{part}"
        flat[name] = source
        if part in classes:
            flat[f"{name}_class"] = classes[part]
    return flat
