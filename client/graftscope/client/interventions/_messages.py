"""Edits to and from the contract's messages."""

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from graftscope import codec
from graftscope.client.errors import InputError
from graftscope.client.interventions._actions import (
    Add,
    Blend,
    Constant,
    ImageDonor,
    Original2,
    PriorMean,
    Scale,
    StoredLatents,
    Swap,
)
from graftscope.client.interventions._edits import Edit, Rectangle
from graftscope.v1 import intervention_pb2, tensor_pb2

AnyArray: TypeAlias = NDArray[np.generic]

UNIONS: codec.Unions = {
    "Edit.action": {
        "swap": Swap,
        "constant": Constant,
        "scale": Scale,
        "add": Add,
        "blend": Blend,
    },
    "Swap.donor": {"original2": Original2, "latents": StoredLatents, "image": ImageDonor},
    "Constant.value": {"scalar": float, "prior_mean": PriorMean, "array": np.ndarray},
    "Add.value": {"scalar": float, "array": np.ndarray},
    "Mask.area": {"rectangle": Rectangle, "array": np.ndarray},
}
"""What the members of an intervention's oneofs are in values."""


def message_of(edits: Iterable[Edit], put: codec.Put) -> intervention_pb2.Intervention:
    """Pack edits.

    Args:
        edits: Of one intervention.
        put: Places arrays.
    """
    message = intervention_pb2.Intervention()
    for edit in edits:
        codec.fill(message.edits.add(), edit, put, unions=UNIONS)
    return message


def edits_of(message: intervention_pb2.Intervention, get: codec.Get) -> tuple[Edit, ...]:
    """Read edits.

    Args:
        message: The contract's.
        get: Reads arrays.

    Raises:
        InputError: If one lacks something, or holds what is not allowed.
    """
    return tuple(_edit(edit, at, get) for at, edit in enumerate(message.edits))


def _edit(message: intervention_pb2.Edit, at: int, get: codec.Get) -> Edit:
    try:
        if message.WhichOneof("action") is None:
            raise InputError("it has no action: swap, constant, scale, add or blend")
        return codec.made(message, Edit, get, unions=UNIONS)
    except ValueError as error:
        raise InputError(f"edit {at}: {error}", field=f"edits[{at}]") from error


def inline(array: tensor_pb2.Array, name: str = "", wanted: object = None) -> AnyArray:
    """Read an array that must lie in its message.

    Raises:
        InputError: If it does not, or its bytes do not fill its shape.
    """
    if array.WhichOneof("source") != "tensor":
        raise InputError("it needs an array: a tensor with datatype, shape and data, or a file")
    held = array.tensor
    try:
        return codec.decode(held.data, held.datatype, held.shape)
    except codec.CodecError as error:
        raise InputError(f"it holds {error}") from error


def put_inline(array: AnyArray) -> tensor_pb2.Array:
    """Place an array in its message, however large it is."""
    return tensor_pb2.Array(tensor=codec.tensor(array))
