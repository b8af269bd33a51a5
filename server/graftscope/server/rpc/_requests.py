"""From requests to specifications: everything a client may get wrong is found here.

It must not know how jobs run.
"""

import asyncio
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from graftscope.server.analysis import DEFAULT_PERCENTILE, DEFAULT_WINDOW
from graftscope.server.engine import (
    ARITHMETIC_VERSION,
    Catalogue,
    Generator,
    check_latents,
    to_range,
)
from graftscope.server.errors import InvalidInput, Unsupported
from graftscope.server.jobs import ArrayRef, InfluenceSpec, MagnitudeSpec, OriginalsSpec
from graftscope.server.rpc._arrays import Arrays
from graftscope.server.rpc._checks import (
    check_channels,
    check_ks,
    check_smoothing,
    module_channels,
)
from graftscope.server.rpc._unimplemented import (
    check_precision,
    check_shared,
    check_swap,
    check_until,
    method,
)
from graftscope.v1 import analysis_service_pb2, bundle_pb2, intervention_pb2, originals_pb2

MAX_PAIRS = 10_000_000


class Requests:
    """Parses requests against the models and arrays that there are.

    Args:
        catalogue: the models.
        arrays: reads arrays.
    """

    def __init__(self, catalogue: Catalogue, arrays: Arrays) -> None:
        self._catalogue = catalogue
        self._arrays = arrays

    async def influence(self, request: analysis_service_pb2.InfluenceRequest) -> InfluenceSpec:
        """The specification of an influence job.

        Raises:
            InvalidInput: a value is not allowed.
            NotFound: the model or an array does not exist.
            Unsupported: part of the request is not implemented yet.
        """
        check_precision(request.precision)
        check_until(request.until)
        generator = self._catalogue.find(request.model)
        layer = generator.layer(request.layer)
        subject, sets, indices = await self._subject(request, layer)
        originals, count, seed = await self.pairs(generator, request.pairs)
        return InfluenceSpec(
            model=generator.manifest.digest,
            layer=layer.name,
            channels=layer.channels,
            sets=sets,
            indices=indices,
            subject=subject,
            originals=originals,
            seed=seed,
            first=request.pairs.first,
            pairs=count,
            map_size=_longest_side(generator, request.map_size),
            arithmetic=ARITHMETIC_VERSION,
            products=request.products,
        )

    async def magnitude(self, request: analysis_service_pb2.MagnitudeRequest) -> MagnitudeSpec:
        """The specification of a magnitude job. Raises as `influence`."""
        chosen = method(request.method)
        generator = self._catalogue.find(request.model)
        layers = _magnitude_layers(generator, request.layers)
        for layer in layers:
            check_ks(request.ks, layer.channels, least=1)
        originals, count, seed = await self.pairs(generator, request.pairs)
        if originals.kind in ("latents", "image_pairs"):
            count = _halved(count)
        window = request.window or DEFAULT_WINDOW
        percentile = request.percentile or DEFAULT_PERCENTILE
        side = _longest_side(generator, request.map_size)
        check_smoothing(window, percentile, side)
        return MagnitudeSpec(
            model=generator.manifest.digest,
            layers=tuple(layer.name for layer in layers),
            ks=tuple(sorted(request.ks)),
            method=chosen,
            method_seed=request.seed,
            window=window,
            percentile=percentile,
            originals=originals,
            seed=seed,
            first=request.pairs.first,
            pairs=count,
            map_size=side,
            arithmetic=ARITHMETIC_VERSION,
        )

    async def chosen(
        self, generator: Generator, intervention: intervention_pb2.Intervention
    ) -> tuple[bundle_pb2.Layer, NDArray[np.int64]]:
        """The layer and the channels of one swap from original 2. Raises as `influence`."""
        if len(intervention.edits) != 1:
            if intervention.edits:
                raise Unsupported(
                    f"an intervention of {len(intervention.edits)} edits is not implemented yet; "
                    "implemented is one",
                    field="intervention.edits",
                )
            raise InvalidInput("the intervention has no edit", field="intervention.edits")
        edit = intervention.edits[0]
        check_swap(edit)
        layer = generator.layer(edit.layer)
        match edit.WhichOneof("target"):
            case "channels":
                return layer, check_channels(layer, edit.channels.indices, "channels")
            case "module":
                labels = await self._labels(edit.module.labels, layer, "module.labels")
                return layer, module_channels(labels, edit.module.index)
            case _:
                raise InvalidInput(
                    "the edit has no target; channels or a module is needed",
                    field="intervention.edits",
                )

    async def pairs(
        self, generator: Generator, pairs: originals_pb2.Pairs
    ) -> tuple[OriginalsSpec, int, int]:
        """Where pairs come from, how many there are, and their seed. Raises as `influence`."""
        check_shared(pairs)
        kind = pairs.originals.WhichOneof("source")
        if kind in ("latents", "image_pairs"):
            originals, available = await self._given(generator, pairs.originals, kind)
            if pairs.first >= available:
                raise InvalidInput(
                    f"pairs.first is {pairs.first}; {available} pairs are given, so 0 to "
                    f"{available - 1} is allowed",
                    field="pairs.first",
                )
            return originals, available - pairs.first, 0
        if not 1 <= pairs.count <= MAX_PAIRS:
            raise InvalidInput(
                f"pairs.count is {pairs.count}; 1 to {MAX_PAIRS} is allowed", field="pairs.count"
            )
        return await self._drawn(generator, pairs.originals, kind), pairs.count, pairs.seed

    async def _subject(
        self, request: analysis_service_pb2.InfluenceRequest, layer: bundle_pb2.Layer
    ) -> tuple[str, tuple[tuple[int, ...], ...], tuple[int, ...]]:
        """What the maps are of, the channels of each E, and what each map is reported as."""
        match request.WhichOneof("subject"):
            case "each_channel" | None:
                indices = request.each_channel.indices or range(layer.channels)
                channels = check_channels(layer, indices, "channels").tolist()
                return "channels", tuple((c,) for c in channels), tuple(channels)
            case "each_module":
                labels = await self._labels(request.each_module, layer, "labels")
                modules = tuple(int(m) for m in np.unique(labels[labels >= 0]))
                sets = tuple(tuple(module_channels(labels, m).tolist()) for m in modules)
                if not sets:
                    raise InvalidInput(
                        "labels put no channel into a module, so every E is empty", field="labels"
                    )
                return "modules", sets, modules
            case _:
                sets = await self._interventions(request, layer)
                return "interventions", sets, tuple(range(len(sets)))

    async def _interventions(
        self, request: analysis_service_pb2.InfluenceRequest, layer: bundle_pb2.Layer
    ) -> tuple[tuple[int, ...], ...]:
        """The channels of each intervention, all of them at the request's layer."""
        generator = self._catalogue.find(request.model)
        interventions = request.each_intervention.interventions
        if not interventions:
            raise InvalidInput("each_intervention holds none", field="each_intervention")
        sets = []
        for i, intervention in enumerate(interventions):
            at, channels = await self.chosen(generator, intervention)
            if at.name != layer.name:
                raise Unsupported(
                    f"intervention {i} is at layer {at.name!r}; influence of layers other than the "
                    f"request's, {layer.name!r}, is not implemented yet",
                    field="each_intervention",
                )
            if not len(channels):
                raise InvalidInput(
                    f"intervention {i} has no channels, so E is empty", field="each_intervention"
                )
            sets.append(tuple(np.sort(channels).tolist()))
        return tuple(sets)

    async def _labels(
        self, array: object, layer: bundle_pb2.Layer, field: str
    ) -> NDArray[np.int64]:
        labels = await self._arrays.read(array, field)  # type: ignore[arg-type]
        if labels.shape != (layer.channels,) or labels.dtype.kind not in "iu":
            raise InvalidInput(
                f"{field} are {labels.dtype} of shape {labels.shape}; integers of shape "
                f"({layer.channels},) are needed, one a channel of layer {layer.name!r}",
                field=field,
            )
        return labels.astype(np.int64)

    async def _given(
        self, generator: Generator, originals: originals_pb2.Originals, kind: str
    ) -> tuple[OriginalsSpec, int]:
        """Pairs that are all in the request, and their number."""
        if kind == "latents":
            arrays: dict[str, ArrayRef] = {}
            counts = []
            for name in ("latents1", "latents2"):
                message = getattr(originals.latents, name)
                latents = await self._arrays.read_latents(message, name)
                counts.append(await asyncio.to_thread(check_latents, generator, latents, name))
                for key, array in message.inputs.items():
                    arrays[f"{name}/{key}"] = await self._arrays.refer(array, name)
        else:
            arrays, counts = {}, []
            for name in ("images1", "images2"):
                message = getattr(originals.image_pairs, name)
                counts.append(len(await self.images(generator, message, name)))
                arrays[name] = await self._arrays.refer(message, name)
        if counts[0] != counts[1]:
            raise InvalidInput(
                f"original 1 is given {counts[0]} times and original 2 {counts[1]} times; pairs "
                "need the same number of both",
                field="pairs.originals",
            )
        return OriginalsSpec(kind, arrays), counts[0]

    async def _drawn(
        self, generator: Generator, originals: originals_pb2.Originals, kind: str | None
    ) -> OriginalsSpec:
        if kind == "images":
            await self.images(generator, originals.images.images, "images")
            ref = await self._arrays.refer(originals.images.images, "images")
            return OriginalsSpec("images", {"images": ref})
        has_encoder = generator.manifest.HasField("encoder")
        if kind == "encoded" and not (has_encoder and generator.manifest.encoder.originals):
            raise InvalidInput(
                f"model {generator.manifest.name!r} has no encodings of training images; use "
                "originals from the prior",
                field="pairs.originals",
            )
        usable = has_encoder and bool(generator.manifest.encoder.originals)
        return OriginalsSpec(kind or ("encoded" if usable else "prior"), {})

    async def images(self, generator: Generator, message: object, field: str) -> NDArray[np.uint8]:
        """Images for the encoder, (B, H, W, c) UINT8. Raises as `influence`."""
        generator.encoder()
        images = await self._arrays.read(message, field)  # type: ignore[arg-type]
        if images.ndim and not len(images):
            raise InvalidInput(f"{field} holds no image; at least 1 is needed", field=field)
        # One is enough to tell: all have one shape and type.
        to_range(images[:1] if images.ndim else images, generator.manifest.image)  # type: ignore[arg-type]
        return images  # type: ignore[return-value]


def _longest_side(generator: Generator, map_size: int) -> int:
    """The longest side of a map, in pixels."""
    areas = generator.areas(map_size)
    _, height, width = generator.image_shape
    return max(-(-height // areas.height), -(-width // areas.width))


def _magnitude_layers(generator: Generator, names: Sequence[str]) -> list[bundle_pb2.Layer]:
    """The named layers, or the last three (section 4.1)."""
    layers = [generator.layer(name) for name in names] or list(generator.manifest.layers[-3:])
    found = [layer.name for layer in layers]
    if len(set(found)) < len(found):
        raise InvalidInput(f"layers {', '.join(found)} name one more than once", field="layers")
    return layers


def _halved(count: int) -> int:
    """Given pairs are all there are: the first half finds the modules, the second measures them."""
    if count < 2:
        raise InvalidInput(
            "1 pair is given; at least 2 are needed, one half to find modules and one to measure "
            "them",
            field="pairs.originals",
        )
    return count // 2
