"""From requests to specifications of the analyses of a module's worth.

What a client may get wrong is found here, and in the modules that parse pairs. It must not know how
jobs run.
"""

import asyncio
import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from graftscope.bundle import find_network, network_for, shipped_networks
from graftscope.server.analysis import require_between
from graftscope.server.engine import ARITHMETIC_VERSION, Catalogue, Generator
from graftscope.server.errors import InvalidInput, NotFound
from graftscope.server.jobs import (
    ENCODER,
    FaithfulnessSpec,
    IndependenceSpec,
    NetworkSpec,
    PreprocessingSpec,
    ProbeSpec,
    ReachSpec,
)
from graftscope.server.rpc._arrays import Arrays
from graftscope.server.rpc._faithfulness import FaithfulnessRequests, halved
from graftscope.server.rpc._independence import independence_fields
from graftscope.server.rpc._interventions import read_labels
from graftscope.server.rpc._pairs import ChosenPairs, PairRequests
from graftscope.server.rpc._reach import (
    check_halves,
    check_latents_to_swap,
    check_region,
    units_of,
)
from graftscope.server.rpc._requests import all_maps, distinct_layers
from graftscope.v1 import bundle_pb2, originals_pb2, tensor_pb2, worth_pb2

CONTROLS = 4
"""Random sets a module, where nothing else is said."""

MOST_CONTROLS = 64

MOST_CLASSIFIERS = 16


@dataclass(frozen=True)
class WorthRequests:
    """Parses requests against the models and arrays that there are.

    Attributes:
        catalogue: the models.
        arrays: reads arrays.
    """

    catalogue: Catalogue
    arrays: Arrays

    async def faithfulness(self, request: worth_pb2.FaithfulnessRequest) -> FaithfulnessSpec:
        """The specification of a job. Raises as `influence` of `Requests`."""
        generator = self.catalogue.find(request.model)
        of_labels = await self.of_labels(generator, request.layer, request.labels)
        labels = (await self.arrays.read(request.labels, "labels")).astype(np.int64)
        own = await FaithfulnessRequests(generator, self.arrays).fields(request, labels)
        pairs = halved(await PairRequests(generator, self.arrays).pairs(request.pairs))
        return FaithfulnessSpec(
            **self._of(generator, pairs),
            **of_labels,
            **own,
            features=await self.network(
                request.features, generator.manifest, "features", encoder=True
            ),
            draws=request.seed,
        )

    async def independence(self, request: worth_pb2.IndependenceRequest) -> IndependenceSpec:
        """Likewise."""
        generator = self.catalogue.find(request.model)
        of_labels = await self.of_labels(generator, request.layer, request.labels)
        labels = (await self.arrays.read(request.labels, "labels")).astype(np.int64)
        pairs = halved(await PairRequests(generator, self.arrays).pairs(request.pairs))
        own = await independence_fields(request, generator, self.arrays, labels, pairs)
        return IndependenceSpec(
            **self._of(generator, pairs),
            **of_labels,
            **own,
            features=await self.network(
                request.features, generator.manifest, "features", encoder=True
            ),
        )

    async def reach(self, request: worth_pb2.ReachRequest) -> ReachSpec:
        """Likewise."""
        generator = self.catalogue.find(request.model)
        layers = distinct_layers(generator, request.layers) or all_maps(generator)
        check_latents_to_swap(generator)
        pairs = await self.of_pairs(generator, request.pairs)
        check_halves(pairs["pairs"])
        return ReachSpec(
            **pairs,
            layers=tuple(layer.name for layer in layers),
            **await self._target(request, generator),
            units=units_of(request.units),
            draws=request.seed,
        )

    async def _target(
        self, request: worth_pb2.ReachRequest, generator: Generator
    ) -> dict[str, Any]:
        """The fields that tell what is to be changed."""
        match request.WhichOneof("target"):
            case "region":
                await check_region(self.arrays, request.region, generator)
                return {"region": await self.arrays.refer(request.region, "region")}
            case "score":
                said = request.score
                network = await self.network(said.network, generator.manifest, "score.network")
                return {
                    "network": network,
                    "score": said.name,
                    "probability": said.probability,
                }
            case _:
                raise InvalidInput("a region or a score is needed, to be changed", field="target")

    async def probe(self, request: worth_pb2.ProbeRequest) -> ProbeSpec:
        """Likewise."""
        generator = self.catalogue.find(request.model)
        controls = request.controls or CONTROLS
        require_between("controls", controls, 1, MOST_CONTROLS)
        asked = list(request.classifiers) or [worth_pb2.ImageNetwork()]
        if len(asked) > MOST_CLASSIFIERS:
            raise InvalidInput(
                f"{len(asked)} classifiers are too many; at most {MOST_CLASSIFIERS} are allowed",
                field="classifiers",
            )
        return ProbeSpec(
            **await self.of_pairs(generator, request.pairs),
            **await self.of_labels(generator, request.layer, request.labels),
            classifiers=tuple(
                [
                    await self.network(each, generator.manifest, f"classifiers[{at}]")
                    for at, each in enumerate(asked)
                ]
            ),
            controls=controls,
            draws=request.seed,
        )

    async def of_pairs(self, generator: Generator, pairs: originals_pb2.Pairs) -> dict[str, Any]:
        """The fields of a specification that tell the model and its pairs.

        Raises:
            InvalidInput: a value is not allowed.
            NotFound: an array does not exist, or the model has no encoder.
        """
        return self._of(generator, await PairRequests(generator, self.arrays).pairs(pairs))

    @staticmethod
    def _of(generator: Generator, chosen: ChosenPairs) -> dict[str, Any]:
        return {
            "model": generator.manifest.digest,
            **vars(chosen),
            "arithmetic": ARITHMETIC_VERSION,
        }

    async def of_labels(
        self, generator: Generator, layer: str, labels: tensor_pb2.Array
    ) -> dict[str, Any]:
        """The fields that tell the layer and its modules.

        Raises:
            InvalidInput: the labels are not of that layer, or put no channel into a module.
            NotFound: the array does not exist.
        """
        found = generator.layer(layer)
        array = await read_labels(self.arrays, labels, found, "labels")
        if not np.any(array >= 0):
            raise InvalidInput("labels put no channel into a module", field="labels")
        return {"layer": found.name, "labels": await self.arrays.refer(labels, "labels")}

    async def network(
        self,
        message: worth_pb2.ImageNetwork,
        manifest: bundle_pb2.Bundle,
        field: str,
        *,
        encoder: bool = False,
    ) -> NetworkSpec:
        """Which network is meant; the one that suits the model where none is named.

        Args:
            message: what was asked for.
            manifest: the model's.
            field: of the request.
            encoder: whether the model's own encoder will do, which gives features and no scores.

        Raises:
            InvalidInput: a name and a file are given.
            NotFound: there is none of this name, or the file's array does not exist.
        """
        if message.HasField("file"):
            if message.name:
                raise InvalidInput(
                    f"{field} has a name, {message.name!r}, and a file; leave one of them out",
                    field=f"{field}.name",
                )
            return await self.network_file(message, field)
        name = message.name or network_for(manifest) or ENCODER
        if name == ENCODER and encoder:
            if not manifest.HasField("encoder"):
                raise NotFound(_no_network(message.name, manifest), field=f"{field}.name")
            return NetworkSpec(name=name, title=message.title)
        if name not in shipped_networks():
            names = ", ".join(shipped_networks()) or "none"
            which = f"no network {name!r} comes" if message.name else "none for the model comes"
            raise NotFound(
                f"{field}: {which} with the server; it has: {names}; or give an ONNX file",
                field=f"{field}.name",
            )
        file = find_network(name)
        return NetworkSpec(
            name=name,
            sha256=await asyncio.to_thread(lambda: hashlib.sha256(file.read_bytes()).hexdigest()),
            preprocessing=preprocessing(message, field),
            output=message.output,
            classes=tuple(message.classes),
            title=message.title or name,
            attributes=message.attributes,
        )

    async def network_file(self, message: worth_pb2.ImageNetwork, field: str) -> NetworkSpec:
        """A network that somebody brings: its bytes, and how it takes images."""
        ref = await self.arrays.refer(message.file, f"{field}.file")
        if ref.datatype != "UINT8" or len(ref.shape) != 1:
            raise InvalidInput(
                f"{field}.file is {ref.datatype} of shape {list(ref.shape)}; UINT8 of shape (N,) "
                "is needed, the bytes of an ONNX file",
                field=f"{field}.file",
            )
        return NetworkSpec(
            sha256=ref.sha256,
            file=ref,
            preprocessing=preprocessing(message, field),
            output=message.output,
            classes=tuple(message.classes),
            title=message.title or ref.sha256[:12],
            attributes=message.attributes,
        )


def preprocessing(message: worth_pb2.ImageNetwork, field: str) -> PreprocessingSpec | None:
    """How a network takes images, as the request says; None where it says nothing.

    Raises:
        InvalidInput: the numbers cannot be used.
    """
    if not message.HasField("preprocessing"):
        return None
    said = message.preprocessing
    inside = f"{field}.preprocessing"
    low, high = (said.low, said.high) if (said.low, said.high) != (0.0, 0.0) else (0.0, 1.0)
    if not low < high:
        raise InvalidInput(
            f"{inside}.low is {low} and {inside}.high is {high}; low must be below high",
            field=f"{inside}.low",
        )
    if any(not x > 0 for x in said.deviation):
        raise InvalidInput(
            f"{inside}.deviation is {list(said.deviation)}; numbers above 0 are needed",
            field=f"{inside}.deviation",
        )
    return PreprocessingSpec(
        height=said.height,
        width=said.width,
        low=low,
        high=high,
        mean=tuple(said.mean),
        deviation=tuple(said.deviation),
        layout="nhwc" if said.layout == worth_pb2.LAYOUT_NHWC else "nchw",
        bgr=said.bgr,
    )


def _no_network(name: str, manifest: bundle_pb2.Bundle) -> str:
    """Why there is nothing to look at a model's images with."""
    known = ", ".join(shipped_networks()) or "none"
    why = "it has no encoder" if name else "it has no encoder, and none that ships knows its images"
    return f"no network for images of model {manifest.name!r}: {why}; give a file, or name: {known}"


def say_network(spec: NetworkSpec) -> dict[str, object]:
    """A network as its message holds it."""
    return {name: value for name, value in vars(spec).items() if name != "sha256"}
