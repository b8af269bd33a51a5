"""From messages to interventions: everything a client may get wrong there is found here.

Arrays are stored and named by their checksums; what they hold is checked first. It must not know
how interventions are made.
"""

import math
from dataclasses import dataclass
from itertools import combinations
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from graftscope.server.engine import ORIGINAL2, Generator, photograph_input
from graftscope.server.errors import InvalidInput, NotFound
from graftscope.server.jobs import ArrayRef, DonorSpec, EditSpec, InterventionSpec
from graftscope.server.rpc._arrays import Arrays
from graftscope.server.rpc._checks import check_channels, module_channels
from graftscope.server.rpc._masks import parse_mask
from graftscope.server.rpc._pairs import PairRequests
from graftscope.v1 import bundle_pb2, intervention_pb2, tensor_pb2

MAX_EDITS = 64

_FIELD = "intervention.edits"


_Parsed: TypeAlias = tuple[EditSpec, NDArray[np.bool_] | None]
"""An edit, and where it assigns for the comparison with others."""

_Action: TypeAlias = dict[str, Any]
"""What is assigned: the fields of an edit that tell."""


@dataclass(frozen=True)
class InterventionRequests:
    """Parses interventions against a model's layers.

    Attributes:
        generator: on which they are made.
        arrays: reads arrays.
        fixed: names of inputs that the request fixes, so that donors may leave them out.
    """

    generator: Generator
    arrays: Arrays
    fixed: frozenset[str] = frozenset()

    @property
    def pairs(self) -> PairRequests:
        """Parses donors' latents and images."""
        return PairRequests(self.generator, self.arrays)

    async def intervention(
        self,
        message: intervention_pb2.Intervention,
    ) -> InterventionSpec:
        """The edits of an intervention.

        Raises:
            InvalidInput: a value is not allowed, or two edits assign one channel at one place.
            NotFound: an array does not exist, or the model has no encoder.
        """
        if not 1 <= len(message.edits) <= MAX_EDITS:
            count = f"{len(message.edits)} edits" if message.edits else "no edit"
            raise InvalidInput(
                f"the intervention has {count}; 1 to {MAX_EDITS} are allowed", field=_FIELD
            )
        parsed = [await self._numbered(message, at) for at in range(len(message.edits))]
        _check_apart(parsed)
        return tuple(spec for spec, _ in parsed)

    async def _numbered(self, message: intervention_pb2.Intervention, at: int) -> _Parsed:
        """One edit; what is refused is said of its place where there are several."""
        try:
            return await self._edit(message.edits[at])
        except InvalidInput as error:
            if len(message.edits) == 1:
                raise
            raise InvalidInput(f"edit {at}: {error}", field=error.field) from error

    async def _edit(self, edit: intervention_pb2.Edit) -> _Parsed:
        layer = self.generator.layer(edit.layer)
        channels = np.sort(await self._channels(edit, layer))
        action = await self._action(edit, layer)
        mask = await parse_mask(self.arrays, edit.mask, layer)
        spec = EditSpec(
            layer=layer.name,
            channels=tuple(channels.tolist()),
            **action,
            mask=None if mask is None else await self.arrays.store(mask),
        )
        return spec, mask

    async def _channels(
        self, edit: intervention_pb2.Edit, layer: bundle_pb2.Layer
    ) -> NDArray[np.int64]:
        match edit.WhichOneof("target"):
            case "channels":
                return check_channels(layer, edit.channels.indices, "channels")
            case "module":
                labels = await read_labels(self.arrays, edit.module.labels, layer, "module.labels")
                return module_channels(labels, edit.module.index)
            case _:
                raise InvalidInput(
                    f"the edit at layer {layer.name!r} has no target; channels or a module is "
                    "needed",
                    field=_FIELD,
                )

    async def _action(self, edit: intervention_pb2.Edit, layer: bundle_pb2.Layer) -> _Action:
        match edit.WhichOneof("action"):
            case "constant":
                return await self._valued("constant", edit.constant, layer)
            case "scale":
                factor = _finite(edit.scale.factor, "scale.factor")
                return {"action": "scale", "number": factor}
            case "add":
                return await self._valued("add", edit.add, layer)
            case "blend":
                weight = _finite(edit.blend.weight, "blend.weight")
                donor = await self._donor(edit.blend.donor, "blend.donor")
                return {"action": "blend", "number": weight, "donor": donor}
            case _:  # The default is a swap from original 2.
                donor = await self._donor(edit.swap, "swap")
                return {"action": "swap", "donor": donor}

    async def _valued(
        self,
        action: str,
        value: intervention_pb2.Constant | intervention_pb2.Add,
        layer: bundle_pb2.Layer,
    ) -> _Action:
        """What is assigned or added: a number, or an array."""
        field = f"{_FIELD}.{action}"
        match value.WhichOneof("value"):
            case "scalar":
                return {"action": action, "number": _finite(value.scalar, f"{action}.scalar")}
            case "prior_mean":
                return {"action": "prior_mean"}
            case "array":
                array = await self._values(value.array, layer, f"{field}.array")
                return {"action": action, "array": array}
            case _:
                kinds = [each.name for each in value.DESCRIPTOR.oneofs_by_name["value"].fields]
                raise InvalidInput(
                    f"the action {action} has no value; it is one of: {', '.join(kinds)}",
                    field=field,
                )

    async def _values(
        self, message: tensor_pb2.Array, layer: bundle_pb2.Layer, field: str
    ) -> ArrayRef:
        """Values of one sample's activation, FP32; one a channel, or what broadcasts."""
        array = await self.arrays.read(message, field)
        whole = _extents(layer)
        fits = array.shape == (layer.channels,) or (
            array.ndim == len(whole)
            and all(x in (1, y) for x, y in zip(array.shape, whole, strict=True))
        )
        if array.dtype.kind != "f" or not fits:
            raise InvalidInput(
                f"{field} is {array.dtype} of shape {array.shape}; floats of shape {whole} (or 1 "
                f"in place of an extent) or ({layer.channels},) are needed at layer {layer.name!r}",
                field=field,
            )
        values = array.astype(np.float32)
        if not np.isfinite(values).all():
            raise InvalidInput(
                f"{field} holds NaN or what is infinite in FP32; all values must be finite",
                field=field,
            )
        return await self.arrays.store(values)

    async def _donor(self, swap: intervention_pb2.Swap, name: str) -> DonorSpec:
        field = f"{_FIELD}.{name}"
        match swap.WhichOneof("donor"):
            case "latents":
                field = f"{field}.latents"
                refs, count = await self.pairs.latents(swap.latents, field, self.fixed)
                _check_single(count, "sample", field)
                return DonorSpec("latents", refs)
            case "image":
                return await self._image(swap.image, f"{field}.image")
            case _:
                return ORIGINAL2

    async def _image(self, image: tensor_pb2.Array, field: str) -> DonorSpec:
        manifest = self.generator.manifest
        if not manifest.HasField("encoder") and photograph_input(self.generator) is None:
            raise NotFound(
                f"model {manifest.name!r} has no encoder, so an image cannot be a donor; "
                "give the donor's latents",
                field=field,
            )
        images = await self.pairs.images(image, field, self.fixed)
        _check_single(len(images), "image", field)
        return DonorSpec("image", {"image": await self.arrays.refer(image, field)})


async def read_labels(
    arrays: Arrays, message: tensor_pb2.Array, layer: bundle_pb2.Layer, field: str
) -> NDArray[np.int64]:
    """The module of each channel of a layer, (C,); -1 for none.

    Raises:
        InvalidInput: they are not of that layer.
        NotFound: the array does not exist.
    """
    labels = await arrays.read(message, field)
    if labels.shape != (layer.channels,) or labels.dtype.kind not in "iu":
        raise InvalidInput(
            f"{field} are {labels.dtype} of shape {labels.shape}; integers of shape "
            f"({layer.channels},) are needed, one a channel of layer {layer.name!r}",
            field=field,
        )
    return labels.astype(np.int64)


def _check_apart(parsed: list[_Parsed]) -> None:
    """Refuses two edits that assign one channel of a layer at one place."""
    # Each set is made once, not for every pair.
    numbered = [(i, spec, frozenset(spec.channels), mask) for i, (spec, mask) in enumerate(parsed)]
    for (i, first, channels1, mask1), (j, second, channels2, mask2) in combinations(numbered, 2):
        if first.layer != second.layer or channels1.isdisjoint(channels2):
            continue
        if _overlap(mask1, mask2):
            raise InvalidInput(
                f"edits {i} and {j} both assign channel {min(channels1 & channels2)} of layer "
                f"{first.layer!r} at the same place; two edits of one channel need masks "
                "that do not overlap",
                field=_FIELD,
            )


def _overlap(first: NDArray[np.bool_] | None, second: NDArray[np.bool_] | None) -> bool:
    return first is None or second is None or bool((first & second).any())


def _check_single(count: int, what: str, field: str) -> None:
    if count != 1:
        raise InvalidInput(f"{field} holds {count} {what}s; a donor is exactly one", field=field)


def _finite(value: float, name: str) -> float:
    """A number that stays one in FP32."""
    with np.errstate(over="ignore"):
        finite = math.isfinite(np.float32(value))
    if not finite:
        raise InvalidInput(
            f"{name} is {value}; a finite number within FP32's range is needed",
            field=f"{_FIELD}.{name}",
        )
    return value + 0.0  # A zero without a sign: equal values have equal specifications.


def _extents(layer: bundle_pb2.Layer) -> tuple[int, ...]:
    """The extents of one sample's activation."""
    match layer.kind:
        case bundle_pb2.LAYER_KIND_VECTOR:
            return (layer.channels,)
        case bundle_pb2.LAYER_KIND_TOKENS:
            return layer.height, layer.channels
        case _:
            return layer.channels, layer.height, layer.width
