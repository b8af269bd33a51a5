"""The option that ends influence maps early."""

from dataclasses import dataclass
from typing import Annotated

import typer

from graftscope.client._tasks import StableLabels, Until
from graftscope.client._until import checked_until
from graftscope.client.cli._options import PAIRS, MapPairOptions

UntilOption = Annotated[
    str | None,
    typer.Option(
        "--until",
        metavar="se=0.02|stable",
        help="Stop before --pairs, which then is the maximum. se=0.02: as soon as the standard "
        "error of every individual influence is at most 2% of it; flat maps are left out. stable: "
        "as soon as modules have stayed the same over the last half of the pairs; "
        "stable,k=4,method=kmeans says which modules. The same pair ends it, however many workers.",
        rich_help_panel=PAIRS,
    ),
]


@dataclass(frozen=True)
class UntilPairOptions(MapPairOptions):
    """Where the pairs come from, of maps that may end early."""

    until: UntilOption = None


def parse_until(text: str | None, usual: StableLabels | None = None) -> Until | None:
    """Read the option.

    Args:
        text: As it was given.
        usual: What a bare ``stable`` means to the verb: the modules that it is about to find.

    Raises:
        InputError: If it is no rule, or a value is not allowed.
    """
    return checked_until(usual if text == "stable" and usual is not None else text)
