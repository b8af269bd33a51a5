"""Tensors between the protocol's messages and arrays, checked against what a model takes and gives.

A refusal names the tensor, what was sent and what is allowed, in the protocol's words. It must not
know models or runs.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graftscope import codec
from graftscope.inference.v2 import inference_service_pb2 as messages
from graftscope.server.engine import FREE, Tensor
from graftscope.server.errors import InvalidInput, Unsupported
from graftscope.server.inference._named import CHANNELS, Named, Signature

REPLY_LIMIT_BYTES = 256 * 2**20
"""What one call may answer with; it has no other way than one message."""

DATATYPES: Mapping[str, np.dtype[Any]] = MappingProxyType(
    {
        **codec.ARRAY_DATATYPES,
        "INT8": np.dtype(np.int8),
        "INT16": np.dtype("<i2"),
        "UINT16": np.dtype("<u2"),
        "UINT32": np.dtype("<u4"),
        "UINT64": np.dtype("<u8"),
    }
)
"""Element types by the protocol's names: models' own, and others that may cross a cut."""

_NAMES = {dtype: name for name, dtype in DATATYPES.items()}

_CONTENTS = {
    "bool_contents": ("BOOL",),
    "int_contents": ("INT8", "INT16", "INT32"),
    "int64_contents": ("INT64",),
    "uint_contents": ("UINT8", "UINT16", "UINT32"),
    "uint64_contents": ("UINT64",),
    "fp32_contents": ("FP32",),
    "fp64_contents": ("FP64",),
}
_FIELDS = {name: field for field, names in _CONTENTS.items() for name in names}
_RAW_OUTPUTS = messages.ModelInferResponse.RAW_OUTPUT_CONTENTS_FIELD_NUMBER

Arrays = dict[str, NDArray[np.generic]]
_Input = messages.ModelInferRequest.InferInputTensor


def datatype(tensor: Tensor) -> str:
    """The protocol's name of a tensor's element type.

    Raises:
        Unsupported: it has none.
    """
    name = _NAMES.get(tensor.dtype.newbyteorder("<"))
    if name is None:
        raise Unsupported(
            f"tensor {tensor.name!r} is {tensor.dtype}, which cannot be sent; what can: "
            f"{', '.join(DATATYPES)}"
        )
    return name


def said(tensor: Tensor) -> str:
    """A tensor's name, element type and shape, for messages."""
    return f"{tensor.name!r} {datatype(tensor)} {list(tensor.shape)}"


def inputs_of(request: messages.ModelInferRequest, named: Named, signature: Signature) -> Arrays:
    """A request's arrays, by name.

    Raises:
        InvalidInput: one is unknown, missing, given twice or does not fit; or there are parameters.
    """
    _refuse_parameters(request)
    known = {tensor.name: tensor for tensor in signature.inputs}
    _check_names([x.name for x in request.inputs], "input", known, named)
    missing = set(known) - signature.optional - {x.name for x in request.inputs}
    for name in (name for name in known if name in missing):
        raise InvalidInput(
            f"input {said(known[name])} of {named.name!r} is missing", field="inputs"
        )
    raw: Sequence[bytes] = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise InvalidInput(
            f"raw_input_contents has {len(raw)} entries for {len(request.inputs)} inputs; one for "
            "each is needed, or none where inputs have contents",
            field="raw_input_contents",
        )
    return {
        given.name: _array(given, known[given.name], raw[i] if raw else None)
        for i, given in enumerate(request.inputs)
    }


def rows_of(arrays: Mapping[str, NDArray[np.generic]], signature: Signature) -> int:
    """How many samples there are.

    Raises:
        InvalidInput: inputs have different numbers of them, or none.
    """
    with_rows = [x.name for x in signature.inputs if x.has_rows and x.name in arrays]
    counts = {name: len(arrays[name]) for name in with_rows}
    # One set of channels stands for all.
    several = {n for name, n in counts.items() if name != CHANNELS or n != 1} or {1}
    if len(several) != 1 or not min(several):
        told = ", ".join(f"{name!r} {n}" for name, n in counts.items())
        allowed = f"; {CHANNELS!r} may have 1" if CHANNELS in counts else ""
        raise InvalidInput(
            f"inputs have different numbers of samples: {told}; the same number is needed, at "
            f"least 1{allowed}",
            field="inputs",
        )
    return several.pop()


def outputs_of(
    request: messages.ModelInferRequest, named: Named, signature: Signature
) -> tuple[Tensor, ...]:
    """The outputs that are asked for, in their order; all where none is named.

    Raises:
        InvalidInput: one is unknown or named twice, or has parameters.
    """
    known = {tensor.name: tensor for tensor in signature.outputs}
    names = [x.name for x in request.outputs]
    _check_names(names, "output", known, named)
    return tuple(known[name] for name in names) or signature.outputs


def size_of(outputs: Sequence[Tensor], samples: int) -> int:
    """Bytes of outputs, as far as their shapes tell."""
    return sum(_row_bytes(each) * (samples if each.has_rows else 1) for each in outputs)


def check_size(outputs: Sequence[Tensor], samples: int) -> int:
    """As `size_of`, of outputs that are sent.

    Raises:
        InvalidInput: it is more than a reply may have.
    """
    number = size_of(outputs, samples)
    if number > REPLY_LIMIT_BYTES:
        most = REPLY_LIMIT_BYTES * samples // number
        raise InvalidInput(
            f"{samples} samples of {', '.join(repr(x.name) for x in outputs)} take "
            f"{number / 2**20:.0f} MiB; at most {most} are allowed in one call: ask for fewer "
            "samples, or name the outputs that are needed",
            field="inputs",
        )
    return number


def response(
    request: messages.ModelInferRequest,
    named: Named,
    outputs: Sequence[Tensor],
    made: Mapping[str, NDArray[np.generic]],
) -> bytes:
    """A response, serialised; each array is copied once."""
    message = messages.ModelInferResponse(
        model_name=named.name, model_version=named.version, id=request.id
    )
    parts: list[bytes | memoryview] = []
    for tensor in outputs:
        name, array = datatype(tensor), made[tensor.name]
        message.outputs.add(name=tensor.name, datatype=name, shape=array.shape)
        data = np.ascontiguousarray(array, DATATYPES[name]).reshape(-1).view(np.uint8).data
        parts += [codec.field_head(_RAW_OUTPUTS, len(data)), data]
    return b"".join([message.SerializeToString(), *parts])


def _row_bytes(tensor: Tensor) -> int:
    extents = tensor.shape[1:] if tensor.has_rows else tensor.shape
    return int(np.prod([max(x, 1) for x in extents], dtype=object)) * tensor.dtype.itemsize


def _check_names(
    names: Sequence[str], kind: str, known: Mapping[str, Tensor], named: Named
) -> None:
    for name, count in Counter(names).items():
        if name not in known:
            there = ", ".join(map(said, known.values()))
            raise InvalidInput(
                f"{named.name!r} has no {kind} {name!r}; it has: {there}", field=f"{kind}s"
            )
        if count > 1:
            raise InvalidInput(f"{kind} {name!r} is there {count} times", field=f"{kind}s")


def _refuse_parameters(request: messages.ModelInferRequest) -> None:
    """Left aside, one that says where the data are or what is made of them would mislead."""
    parts: Iterable[tuple[str, Any]] = [
        ("the request", request),
        *((f"input {x.name!r}", x) for x in request.inputs),
        *((f"output {x.name!r}", x) for x in request.outputs),
    ]
    for what, part in parts:
        for name in part.parameters:
            raise InvalidInput(
                f"parameter {name!r} of {what} is not known; no parameter is (a call's time limit "
                "is its gRPC deadline, and tensors travel in messages alone)",
                field="parameters",
            )


def _array(given: _Input, wanted: Tensor, raw: bytes | None) -> NDArray[np.generic]:
    field = f"inputs[{wanted.name}]"
    shape = tuple(given.shape)
    if given.datatype != datatype(wanted) or not _fits(shape, wanted.shape):
        raise InvalidInput(
            f"input {given.name!r} is {given.datatype} {list(shape)}; {datatype(wanted)} "
            f"{list(wanted.shape)} is needed, where -1 stands for any number",
            field=field,
        )
    array = _raw(given, wanted, raw) if raw is not None else _typed(given, wanted)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        where = [int(i) for i in np.argwhere(~np.isfinite(array))[0]]
        raise InvalidInput(
            f"input {given.name!r} holds {array[tuple(where)]} at {where}; all values must be "
            "finite",
            field=field,
        )
    return array


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        extent >= 0 and allowed in (FREE, extent)
        for extent, allowed in zip(shape, wanted, strict=True)
    )


def _raw(given: _Input, wanted: Tensor, raw: bytes) -> NDArray[np.generic]:
    dtype, count = DATATYPES[given.datatype], _elements(given)
    if given.HasField("contents"):
        raise InvalidInput(
            f"input {given.name!r} has contents, and the request has raw_input_contents; leave one "
            "of the two out",
            field="raw_input_contents",
        )
    if len(raw) != count * dtype.itemsize:
        raise InvalidInput(
            f"input {given.name!r} has {len(raw)} bytes in raw_input_contents; {given.datatype} "
            f"{list(given.shape)} takes {count * dtype.itemsize}",
            field="raw_input_contents",
        )
    return np.frombuffer(raw, dtype).reshape(given.shape)


def _typed(given: _Input, wanted: Tensor) -> NDArray[np.generic]:
    field, count = _FIELDS.get(given.datatype), _elements(given)
    others = [x.name for x, _ in given.contents.ListFields() if x.name != field]
    if field is None or others:
        where = f"{field}, and not {others[0]}" if field else "raw_input_contents alone"
        raise InvalidInput(
            f"input {given.name!r} is {given.datatype}, whose elements are given in {where}",
            field=f"inputs[{given.name}].contents",
        )
    values = getattr(given.contents, field)
    if len(values) != count:
        raise InvalidInput(
            f"input {given.name!r} has {len(values)} elements in {field}; {given.datatype} "
            f"{list(given.shape)} takes {count}",
            field=f"inputs[{given.name}].contents",
        )
    dtype = DATATYPES[given.datatype]
    wide = np.array(values, dtype if dtype.kind in "fb" else object)
    if dtype.kind in "iu" and count:
        _check_range(given, wide, np.iinfo(dtype))
    return wide.astype(dtype).reshape(given.shape)


def _check_range(given: _Input, values: NDArray[Any], allowed: "np.iinfo[Any]") -> None:
    low, high = min(values), max(values)
    if low < allowed.min or high > allowed.max:
        raise InvalidInput(
            f"input {given.name!r} holds {low if low < allowed.min else high}; {given.datatype} is "
            f"from {allowed.min} to {allowed.max}",
            field=f"inputs[{given.name}].contents",
        )


def _elements(given: _Input) -> int:
    number = 1
    for extent in given.shape:
        number *= extent
    return number
