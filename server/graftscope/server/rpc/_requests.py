"""From requests to specifications of influence and magnitude.

What a client may get wrong is found here, and in the modules that parse pairs and interventions.
It must not know how jobs run.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from graftscope.server.analysis import require_smoothing
from graftscope.server.engine import ARITHMETIC_VERSION, Catalogue, Generator, Precision
from graftscope.server.errors import InvalidInput
from graftscope.server.jobs import (
    InfluenceSpec,
    InterventionSpec,
    LayerSpec,
    MagnitudeSpec,
    result_bytes,
)
from graftscope.server.rpc._arrays import Arrays
from graftscope.server.rpc._checks import (
    check_channels,
    check_ks,
    module_channels,
    smoothing,
)
from graftscope.server.rpc._interventions import InterventionRequests, read_labels
from graftscope.server.rpc._pairs import ChosenPairs, PairRequests
from graftscope.server.rpc._stopping_rules import check_until, until
from graftscope.server.rpc._versions import method, precision
from graftscope.v1 import analysis_service_pb2, bundle_pb2

MAX_INTERVENTIONS = 4_096
"""In one request."""

MAX_RESULT_BYTES = 2 * 2**30
"""Of all arrays of one job's result."""

_Subject = dict[str, Any]
"""What the maps are of: the fields of `InfluenceSpec` that tell."""


@dataclass(frozen=True)
class Requests:
    """Parses requests against the models and arrays that there are.

    Attributes:
        catalogue: the models.
        arrays: reads arrays.
    """

    catalogue: Catalogue
    arrays: Arrays

    async def influence(self, request: analysis_service_pb2.InfluenceRequest) -> InfluenceSpec:
        """The specification of an influence job.

        Raises:
            InvalidInput: a value is not allowed.
            NotFound: the model or an array does not exist.
            PrecisionUnavailable: the server's device cannot compute in this precision.
            Unsupported: part of the request is not implemented yet.
        """
        wanted = precision(request.precision)
        rule = until(request.until)
        generator = self.catalogue.find(request.model)
        generator.backends(wanted)  # Refused now where this machine cannot run it.
        subject = await self._subject(request, generator)
        pairs = await PairRequests(generator, self.arrays).pairs(request.pairs)
        spec = InfluenceSpec(
            model=generator.manifest.digest,
            **subject,
            **vars(pairs),
            map_size=max(generator.map_shape(request.map_size)),
            arithmetic=ARITHMETIC_VERSION,
            precision=wanted,
            products=request.products,
            until=rule,
            corrected=wanted != Precision.FP32.value and not request.uncorrected,
        )
        check_until(spec)
        _check_result(spec, generator)
        return spec

    async def magnitude(self, request: analysis_service_pb2.MagnitudeRequest) -> MagnitudeSpec:
        """The specification of a magnitude job. Raises as `influence`."""
        chosen = method(request.method)
        generator = self.catalogue.find(request.model)
        layers = _magnitude_layers(generator, request.layers)
        for layer in layers:
            check_ks(request.ks, layer.channels, least=1)
        pairs = await PairRequests(generator, self.arrays).pairs(request.pairs)
        if pairs.originals.kind in ("latents", "image_pairs"):
            pairs = _halved(pairs)
        spec = MagnitudeSpec(
            model=generator.manifest.digest,
            layers=tuple(layer.name for layer in layers),
            ks=tuple(sorted(request.ks)),
            method=chosen,
            method_seed=request.seed,
            **smoothing(request),
            **vars(pairs),
            map_size=max(generator.map_shape(request.map_size)),
            arithmetic=ARITHMETIC_VERSION,
        )
        require_smoothing(spec.window, spec.percentile, spec.map_size)
        return spec

    async def _subject(
        self, request: analysis_service_pb2.InfluenceRequest, generator: Generator
    ) -> _Subject:
        match request.WhichOneof("subject"):
            case "each_channel" | None:
                layer = generator.layer(request.layer)
                indices = request.each_channel.indices or range(layer.channels)
                channels = check_channels(layer, indices, "channels").tolist()
                sets = tuple((c,) for c in channels)
                return _at(layer, "channels", sets, tuple(channels))
            case "each_module":
                return await self._modules(request, generator.layer(request.layer))
            case "each_layer":
                return _layered(generator, request)
            case _:
                return await self._interventions(request, generator)

    async def _modules(
        self, request: analysis_service_pb2.InfluenceRequest, layer: bundle_pb2.Layer
    ) -> _Subject:
        labels = await read_labels(self.arrays, request.each_module, layer, "labels")
        modules = tuple(int(m) for m in np.unique(labels[labels >= 0]))
        sets = tuple(tuple(module_channels(labels, m).tolist()) for m in modules)
        if not sets:
            raise InvalidInput(
                "labels put no channel into a module, so every E is empty", field="labels"
            )
        return _at(layer, "modules", sets, modules)

    async def _interventions(
        self, request: analysis_service_pb2.InfluenceRequest, generator: Generator
    ) -> _Subject:
        """Swaps of sets of one layer where all are such; else interventions of any kind."""
        messages = request.each_intervention.interventions
        if not messages:
            raise InvalidInput("each_intervention holds none", field="each_intervention")
        if len(messages) > MAX_INTERVENTIONS:
            raise InvalidInput(
                f"each_intervention holds {len(messages)} interventions; at most "
                f"{MAX_INTERVENTIONS} are allowed in one request",
                field="each_intervention",
            )
        if request.layer:
            generator.layer(request.layer)
        fixed = frozenset(request.pairs.fix.inputs)
        requests = InterventionRequests(generator, self.arrays, fixed)
        parsed = []
        for i, message in enumerate(messages):
            edits = await requests.intervention(message)
            if not all(edit.channels for edit in edits):
                raise InvalidInput(
                    f"intervention {i} has an edit of no channels, so its E is empty",
                    field="each_intervention",
                )
            parsed.append(edits)
        return _swaps(generator, request.layer, parsed) or _mixed(parsed)


def _check_result(spec: InfluenceSpec, generator: Generator) -> None:
    """Refuses a result that is too large, before anything is planned."""
    size = result_bytes(spec, generator.map_shape(spec.map_size))
    if size > MAX_RESULT_BYTES:
        raise InvalidInput(
            f"the result would take {size / 2**20:.0f} MiB; at most {MAX_RESULT_BYTES >> 20} MiB "
            "are allowed, ask for fewer sets of channels at a time or for smaller maps",
            field="map_size",
        )


def _layered(generator: Generator, request: analysis_service_pb2.InfluenceRequest) -> _Subject:
    """Every channel of several layers."""
    if request.layer:
        raise InvalidInput(
            f"layer is {request.layer!r}, and each_layer names layers too; leave one of them out",
            field="layer",
        )
    if not request.each_layer.layers:
        raise InvalidInput("each_layer names no layer", field="each_layer")
    found = distinct_layers(generator, request.each_layer.layers)
    return _across(
        "layers",
        tuple(c for layer in found for c in range(layer.channels)),
        each_layer=tuple(LayerSpec(layer.name, layer.channels) for layer in found),
    )


def _swaps(
    generator: Generator, asked: str, interventions: list[InterventionSpec]
) -> _Subject | None:
    """Interventions of one plain swap each, all at the layer that is asked for or at one layer."""
    edits = [edit for intervention in interventions for edit in intervention]
    layer = generator.layer(asked or edits[0].layer)
    single = len(edits) == len(interventions)
    if not single or not all(edit.is_plain and edit.layer == layer.name for edit in edits):
        return None
    sets = tuple(edit.channels for edit in edits)
    return _at(layer, "interventions", sets, tuple(range(len(sets))))


def _mixed(interventions: list[InterventionSpec]) -> _Subject:
    layers = {edit.layer for intervention in interventions for edit in intervention}
    return _across(
        "interventions",
        tuple(range(len(interventions))),
        layer=layers.pop() if len(layers) == 1 else "",
        interventions=tuple(interventions),
    )


def _at(
    layer: bundle_pb2.Layer,
    subject: str,
    sets: tuple[tuple[int, ...], ...],
    indices: tuple[int, ...],
) -> _Subject:
    """Sets of channels of one layer."""
    return {
        "subject": subject,
        "layer": layer.name,
        "channels": layer.channels,
        "sets": sets,
        "indices": indices,
    }


def _across(subject: str, indices: tuple[int, ...], layer: str = "", **given: object) -> _Subject:
    """What is no sets of channels of one layer."""
    nothing = {"layer": layer, "channels": 0, "sets": ()}
    return {"subject": subject, "indices": indices, **nothing, **given}


def _magnitude_layers(generator: Generator, names: Sequence[str]) -> list[bundle_pb2.Layer]:
    """The named layers, or the last three maps (section 4.1)."""
    return distinct_layers(generator, names) or _last_maps(generator)


def distinct_layers(generator: Generator, names: Sequence[str]) -> list[bundle_pb2.Layer]:
    """The named layers, each once.

    Raises:
        InvalidInput: one is not there, or named twice.
    """
    layers = [generator.layer(name) for name in names]
    found = [layer.name for layer in layers]
    if len(set(found)) < len(found):
        raise InvalidInput(f"layers {', '.join(found)} name one more than once", field="layers")
    return layers


def _last_maps(generator: Generator) -> list[bundle_pb2.Layer]:
    return all_maps(generator)[-3:]


def all_maps(generator: Generator) -> list[bundle_pb2.Layer]:
    """The layers that are maps between latents and image.

    Raises:
        InvalidInput: there is none; the message lists the layers.
    """
    layers = generator.manifest.layers
    inputs = [value.name for value in generator.manifest.inputs]
    is_map = bundle_pb2.LAYER_KIND_MAP
    maps = [x for x in layers if x.kind == is_map and x.tensor not in inputs]
    if not maps:
        raise InvalidInput(
            f"model {generator.manifest.name!r} has no maps between latents and image; name "
            f"layers, it has: {', '.join(layer.name for layer in layers)}",
            field="layers",
        )
    return maps


def _halved(pairs: ChosenPairs) -> ChosenPairs:
    """Given pairs are all there are: the first half finds the modules, the second measures them."""
    if pairs.pairs < 2:
        raise InvalidInput(
            "1 pair is given; at least 2 are needed, one half to find modules and one to measure "
            "them",
            field="pairs.originals",
        )
    return replace(pairs, pairs=pairs.pairs // 2)
