"""Which models a bundle becomes: its graphs, and for every layer a splice and an ensemble."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import onnx_ir as ir

from graftscope.bundle import BundleFolder
from graftscope.codec import ARRAY_DATATYPES, CodecError, datatype_of
from graftscope.exporter._proof import CHANNEL_AXIS
from graftscope.exporter.errors import SourceError
from graftscope.exporter.triton._config import FREE, OWNER, ModelConfig, Tensor
from graftscope.exporter.triton._steps import CHANNELS, Steps
from graftscope.graph import SETS, splicer
from graftscope.v1 import bundle_pb2


@dataclass(frozen=True)
class TritonModel:
    """A model, and where its graph comes from.

    Attributes:
        config: What Triton is told.
        file: The bundle's graph; None where there is none or it is made.
        made: A graph that no bundle has.
        external: Files with weights that the graph refers to, which lie beside it.
    """

    config: ModelConfig
    file: Path | None = None
    made: ir.Model | None = None
    external: tuple[str, ...] = ()


@dataclass(frozen=True)
class LayerModels:
    """The models of one layer.

    Attributes:
        layer: The bundle's.
        parts: Its halves, where they are not the whole generator, and the splice.
        hybrid: The ensemble of them.
    """

    layer: bundle_pb2.Layer
    parts: tuple[TritonModel, ...]
    hybrid: TritonModel


@dataclass(frozen=True)
class BundleModels:
    """All models of a bundle.

    Attributes:
        bundle: The bundle.
        generator: The whole graph.
        layers: Those of every layer.
    """

    bundle: BundleFolder
    generator: TritonModel
    layers: tuple[LayerModels, ...]

    def __iter__(self) -> Iterator[TritonModel]:
        """Give them in an order in which no ensemble comes before what it runs."""
        yield self.generator
        for each in self.layers:
            yield from (*each.parts, each.hybrid)

    @property
    def configs(self) -> Mapping[str, ModelConfig]:
        """What Triton is told, by the models' names."""
        return {each.config.name: each.config for each in self}


def models_of(
    bundle: BundleFolder, layers: Iterable[bundle_pb2.Layer], max_batch: int
) -> BundleModels:
    """Say which models a bundle becomes.

    Args:
        bundle: The bundle.
        layers: Which of its layers.
        max_batch: The most samples of a request; told to Triton only where every tensor has
            extents behind the batch, because it knows no batch of plain numbers.

    Raises:
        SourceError: If a tensor is of a type, or has a name, that cannot be served.
    """
    generator = _of_file(bundle, bundle.manifest.name, bundle.manifest.generator)
    found = BundleModels(
        bundle, generator, tuple(_layer_models(bundle, generator, layer) for layer in layers)
    )
    tensors = (each for model in found for each in (*model.config.inputs, *model.config.outputs))
    return found if any(len(each.shape) < 2 for each in tensors) else _batched(found, max_batch)


def _batched(models: BundleModels, max_batch: int) -> BundleModels:
    def told(model: TritonModel) -> TritonModel:
        return replace(model, config=replace(model.config, max_batch=max_batch))

    return BundleModels(
        models.bundle,
        told(models.generator),
        tuple(
            LayerModels(each.layer, tuple(map(told, each.parts)), told(each.hybrid))
            for each in models.layers
        ),
    )


def _of_file(bundle: BundleFolder, name: str, file: str) -> TritonModel:
    graph = ir.load(bundle.file(file)).graph
    weights = (value.const_value for value in graph.initializers.values())
    external = {str(x.location) for x in weights if isinstance(x, ir.ExternalTensor)}
    config = ModelConfig(
        name,
        tuple(_tensor(name, value) for value in graph.inputs),
        tuple(_tensor(name, value) for value in graph.outputs),
        max_batch=0,
        parameters=_parameters(bundle),
    )
    return TritonModel(config, file=bundle.file(file), external=tuple(sorted(external)))


def _parameters(bundle: BundleFolder, layer: str = "") -> dict[str, str]:
    facts = {OWNER: bundle.manifest.name, "graftscope.digest": bundle.manifest.digest}
    return facts | ({"graftscope.layer": layer} if layer else {})


def _tensor(model: str, value: ir.Value) -> Tensor:
    shape = tuple(each if isinstance(each, int) else FREE for each in value.shape or ())
    if not shape or shape[0] != FREE:
        raise SourceError(
            f"model {model!r}: tensor {value.name!r} has shape {value.shape}; its first extent "
            "must be the batch, which requests decide"
        )
    try:
        dtype = None if value.dtype is None else value.dtype.numpy()
        datatype = "" if dtype is None else datatype_of(dtype)
    except (CodecError, TypeError) as error:
        raise SourceError(f"model {model!r}: tensor {value.name!r}: {error}") from error
    return Tensor(value.name or "", datatype, shape)


def _layer_models(
    bundle: BundleFolder, generator: TritonModel, layer: bundle_pb2.Layer
) -> LayerModels:
    prefix = f"{bundle.manifest.name}.{layer.name}"
    facts = _parameters(bundle, layer.name)
    halves: list[TritonModel] = []
    above, below = None, generator.config
    if layer.upstream:
        upstream = _of_file(bundle, f"{prefix}.upstream", layer.upstream)
        downstream = _of_file(bundle, f"{prefix}.downstream", layer.downstream)
        halves = [
            replace(each, config=replace(each.config, parameters=facts))
            for each in (upstream, downstream)
        ]
        above, below = halves[0].config, halves[1].config
    steps = Steps(layer.tensor, f"{prefix}.splice", above, below, generator.config.inputs)
    splice = splicer(
        _value(steps.activation),
        channel_axis=CHANNEL_AXIS[layer.kind],
        unread=[_value(each) for each in steps.unread],
    )
    config = ModelConfig(
        steps.splice,
        tuple(_tensor(steps.splice, each) for each in splice.graph.inputs),
        tuple(_tensor(steps.splice, each) for each in splice.graph.outputs),
        max_batch=0,
        parameters=facts,
    )
    sets = next(each for each in config.inputs if each.name == SETS)
    hybrid = ModelConfig(
        f"{prefix}.hybrid",
        (*steps.latents, replace(sets, name=CHANNELS)),
        (steps.image,),
        max_batch=0,
        parameters=facts,
        steps=steps.all,
    )
    _require_distinct(hybrid)
    made = TritonModel(config, made=splice)
    return LayerModels(layer, (*halves, made), TritonModel(hybrid))


def _value(tensor: Tensor) -> ir.Value:
    """Return a graph's value of that name, type and shape."""
    dtype = ir.DataType.from_numpy(ARRAY_DATATYPES[tensor.datatype])
    extents = [each if each != FREE else None for each in tensor.shape[1:]]
    shape = ir.Shape(["batch", *extents])
    return ir.Value(name=tensor.name, type=ir.TensorType(dtype), shape=shape)


def _require_distinct(hybrid: ModelConfig) -> None:
    taken = [each.name for each in (*hybrid.inputs, *hybrid.outputs)]
    for name in taken:
        if taken.count(name) > 1:
            raise SourceError(
                f"model {hybrid.name!r} would have two tensors {name!r}; a hybrid takes every "
                f"input twice, as NAME1 and NAME2, and {CHANNELS!r}: rename the generator's "
                "input or output"
            )
