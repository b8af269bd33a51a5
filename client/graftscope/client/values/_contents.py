"""What requests and results have in common: arrays' types, fields by name, what maps are of."""

from dataclasses import fields
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from graftscope.client.arrays import SHOWN_DIGITS, Source
from graftscope.client.values._execution import Execution

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]


def contents_but(value: object, gathered: type, *names: str) -> dict[str, object]:
    """Give a request's fields by their names, but those that are said otherwise.

    Args:
        value: The request.
        gathered: A value of its own, whose fields the request has too.
        *names: Further fields.
    """
    left = {field.name for field in fields(gathered)} | {"pairs", *names}
    return {
        field.name: getattr(value, field.name)
        for field in fields(value)  # type: ignore[arg-type]  # a dataclass
        if field.name not in left
    }


class Computed(Protocol):
    """A result that a model's operation computed."""

    @property
    def model(self) -> str:
        """The model's name."""

    @property
    def operation(self) -> str:
        """The operation."""

    @property
    def execution(self) -> Execution:
        """What computed it."""


def source_of(result: Computed, layer: str) -> Source:
    """Say which model and layer a result is of."""
    model = result.model.partition("@")[0]
    return Source(model, result.execution.model_digest, layer, result.operation)


def model_version(model: str, execution: Execution) -> str:
    """Name a model and the beginning of its digest, for what is printed."""
    return f"{model.partition('@')[0] or 'a model'}@{execution.model_digest[:SHOWN_DIGITS]}"


def of_older(source: Source | None) -> Source:
    """What an earlier version's file says of its arrays, empty where it says nothing."""
    return Source("", "", "", "") if source is None else source
