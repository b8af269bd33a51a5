"""The verb compare."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from graftscope.client.arrays import Source, write_bytes
from graftscope.client.cli._output import note, say, say_json, table, written
from graftscope.client.cli._session import check_drawing
from graftscope.client.cli._shared_options import JsonOption
from graftscope.client.comparing import ALIKE, Comparison, compare
from graftscope.client.values import ModulesResult
from graftscope.client.words import counted

FirstArgument = Annotated[
    Path, typer.Argument(metavar="A.npz", help="Modules as `graftscope modules` wrote them.")
]
SecondArgument = Annotated[
    Path,
    typer.Argument(
        metavar="B.npz",
        help="Modules of another layer or model, or of the same layer with other settings.",
    ),
]
AlikeOption = Annotated[
    float,
    typer.Option(
        "--at-least",
        metavar="COSINE",
        help="Pair only modules whose templates have at least this cosine, 0 to 1.",
    ),
]
SameChannelsOption = Annotated[
    bool,
    typer.Option(
        "--same-channels",
        help="Compare labels channel by channel, also where the files do not say that they are of "
        "the same layer of the same model.",
    ),
]
PictureOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FILE.png",
        help="Draw the templates of each pair one above the other, and those without a partner.",
    ),
]


def compare_modules(
    first: FirstArgument,
    second: SecondArgument,
    at_least: AlikeOption = ALIKE,
    same_channels: SameChannelsOption = False,
    out: PictureOption = None,
    json: JsonOption = False,
) -> None:
    """Compare the modules of two layers or models: which act in the same places?

    Each module of A is paired with at most one of B, so that the cosines between their templates
    add up to the most; sizes of maps may differ. Cosine: 1 where two templates are the same but for
    their scale. Correlation: also 1 there, but 0, not more, where they have nothing to do with each
    other. Overlap: of the pixels with at least half of a template's highest value, the share that
    both have in common. Where A and B are of the same layer, its channels are compared too:
    agreement is the share whose two modules are a pair; adjusted Rand says whether the same
    channels are together, whatever the templates: 1 if so, about 0 by chance.
    """
    check_drawing(out, "--out")
    a, b = ModulesResult.load(first), ModulesResult.load(second)
    found = compare(a, b, at_least=at_least, same_channels=same_channels or None)
    if out:
        _draw(found, (_named(first, a.source), _named(second, b.source)), out)
    if json:
        say_json({**_document(found), "out": out})
    else:
        _tell(found, first, second, out)


def _draw(found: Comparison, names: tuple[str, str], out: Path) -> None:
    # matplotlib is for the verbs that draw figures.
    from graftscope.client.figures import comparison_figure, figure_png

    figure = comparison_figure(
        found.templates_a, found.templates_b, found.pairs, found.cosine, found.overlap, names
    )
    write_bytes(out, figure_png(figure))


def _document(found: Comparison) -> dict[str, object]:
    pairs = {name: np.asarray(column).tolist() for name, column in found.columns().items()}
    rows = [dict(zip(pairs, row, strict=True)) for row in zip(*pairs.values(), strict=True)]
    return {
        "a": None if found.source_a is None else vars(found.source_a),
        "b": None if found.source_b is None else vars(found.source_b),
        "pairs": rows,
        "only_a": found.only_a,
        "only_b": found.only_b,
        "similarity": found.similarity,
        "agreement": found.agreement,
        "adjusted_rand": found.adjusted_rand,
    }


def _tell(found: Comparison, first: Path, second: Path, out: Path | None) -> None:
    a, b = _named(first, found.source_a), _named(second, found.source_b)
    say(f"{counted(len(found.pairs), 'pair')} of modules that act in the same places{written(out)}")
    say(f"A: {a}")
    say(f"B: {b}")
    if len(found.pairs):
        columns = found.columns()
        heads = ("A", "B", "cosine", "correlation", "overlap", "channels of A", "channels of B")
        rows = [
            (
                columns["module_a"][at],
                columns["module_b"][at],
                f"{found.cosine[at]:.2f}",
                f"{found.correlation[at]:.2f}",
                f"{found.overlap[at]:.0%}",
                columns["channels_a"][at],
                columns["channels_b"][at],
            )
            for at in range(len(found.pairs))
        ]
        say(table(heads, rows))
    for letter, alone in (("A", found.only_a), ("B", found.only_b)):
        if alone:
            listed = ", ".join(map(str, alone))
            say(f"without a partner in {'B' if letter == 'A' else 'A'}: {letter}'s {listed}")
    if np.isnan(found.agreement):
        note("channels are not compared: A and B are of different layers, or do not say of which")
    else:
        say(
            f"{found.agreement:.0%} of the channels are in modules that are a pair; adjusted Rand"
            f" {found.adjusted_rand:.2f} (1: the same groups, 0: as by chance)"
        )


def _named(path: Path, source: Source | None) -> str:
    return path.name if source is None else f"{path.name}, {source}"
