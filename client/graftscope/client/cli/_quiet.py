"""Whether a command says only its result, warnings and errors."""

from contextvars import ContextVar
from typing import Annotated

import typer

_QUIET: ContextVar[bool] = ContextVar("quiet", default=False)


def is_quiet() -> bool:
    """Whether the command that runs was asked to be quiet."""
    return _QUIET.get()


def _take(value: bool) -> None:
    if value:
        _QUIET.set(True)


QuietOption = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        metavar="",
        help="Print no progress and no notes on standard error, only results, warnings and errors.",
        callback=_take,
        expose_value=False,
    ),
]
"""It acts by itself: functions do not see it."""
