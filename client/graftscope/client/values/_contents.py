"""What requests and results have in common: arrays' types, fields by name, what maps are of."""

from dataclasses import fields
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from graftscope.client.arrays import (
    SHOWN_DIGITS,
    Source,
    finite,
    influence_maps,
    module_labels,
    numbers,
    told,
)
from graftscope.client.errors import InputError
from graftscope.client.values._execution import Execution

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
HalfArray: TypeAlias = NDArray[np.float16]
SingleArray: TypeAlias = NDArray[np.float32]


def checked_labels(name: str, labels: NDArray[np.integer]) -> NDArray[np.integer]:
    """Check labels, and keep them as they are."""
    module_labels(labels)
    return labels


def checked_maps(name: str, maps: NDArray[np.floating] | str) -> NDArray[np.floating] | str:
    """Check maps, or that it is a name, and keep them as they are."""
    if not isinstance(maps, str):
        influence_maps(maps)
    return maps


def checked_products(name: str, products: NDArray[np.floating]) -> NDArray[np.floating]:
    """Check products: (C, C) finite numbers; they are kept as they are."""
    array = finite(name, numbers(name, products))
    if array.ndim != 2 or array.shape[0] != array.shape[1] or array.dtype.kind != "f":
        raise InputError(
            f"{name} {told(array)}: they must be (C, C) floating-point numbers", field=name
        )
    return products


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
