"""The check that ends an export: what was written is what Triton is told, and gives our hybrids.

From the repository's own files, by ONNX Runtime without optimisations:

1. Every graph has the inputs and outputs, types and shapes of its configuration.
2. Every step of an ensemble names a model and tensors that exist, and reads nothing that no input
   or earlier step gives.
3. At every layer the ensemble's steps give, bit for bit, the hybrids of the bundle's own halves
   with our splice between them, and the generator's image of original 1 where no channel is taken.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graftscope.bundle import BundleFolder
from graftscope.exporter._proof import CHANNEL_AXIS, compare
from graftscope.exporter._samples import draw_latents, read_stored
from graftscope.exporter._sessions import CpuSession
from graftscope.exporter._subject import Arrays
from graftscope.exporter.errors import ProofError
from graftscope.exporter.triton._config import ModelConfig, Tensor
from graftscope.exporter.triton._models import BundleModels
from graftscope.exporter.triton._steps import CHANNELS, HYBRID
from graftscope.graph import DONORS, FIRST, HYBRIDS, SAMPLES, SETS, splice_samples
from graftscope.v1 import bundle_pb2

GRAPH_FILE: Final = "model.onnx"
VERSION: Final = "1"
_PAIRS: Final = 3
"""One that takes no channel, one that takes some, one that takes all."""


def check(folder: Path, models: BundleModels, report: Callable[[], None]) -> None:
    """Check a repository.

    Args:
        folder: Where its models lie.
        models: What they are said to be.
        report: Called after each layer.

    Raises:
        ProofError: At the first thing that is not so.
    """
    for config in models.configs.values():
        _check_steps(config, models.configs)
    originals = _originals(models.bundle)
    generator = _session(folder, models.generator.config)
    images = generator.run(originals[0])[generator.outputs[0]]
    for each in models.layers:
        sessions = {models.generator.config.name: generator}
        sessions |= {part.config.name: _session(folder, part.config) for part in each.parts}
        channels = _channels(each.layer)
        made = _run(each.hybrid.config, sessions, _given(originals, channels))
        what = f"model {each.hybrid.config.name!r}: hybrids, against the bundle's own,"
        compare(what, made, _hybrids(models.bundle, each.layer, originals, channels), 0.0)
        what = f"model {each.hybrid.config.name!r}: no channel taken, against the generator's image"
        compare(what, made[:1], images[:1], 0.0)
        report()


def _session(folder: Path, config: ModelConfig) -> CpuSession:
    """Open a model's graph, if it is as its configuration says."""
    session = CpuSession(folder / config.name / VERSION / GRAPH_FILE, optimised=False)
    for what, told, ends in (
        ("inputs", config.inputs, session.input_ends),
        ("outputs", config.outputs, session.output_ends),
    ):
        found = tuple(Tensor(*end) for end in ends)
        if found != told:
            raise ProofError(
                f"model {config.name!r} has the {what} {_said(found)}; Triton is told {_said(told)}"
            )
    return session


def _said(tensors: tuple[Tensor, ...]) -> str:
    return ", ".join(f"{each.name!r} {each.datatype} {list(each.shape)}" for each in tensors)


def _check_steps(config: ModelConfig, configs: Mapping[str, ModelConfig]) -> None:
    """Follow types and shapes through an ensemble, as Triton does when it loads one."""
    known = {each.name: each for each in config.inputs}
    unread = set(known)
    for step in config.steps:
        model = configs[step.model]
        for tensor in model.inputs:
            given = known.get(step.inputs.get(tensor.name, ""))
            _require_same(config.name, step.model, tensor, given)
            unread.discard(step.inputs[tensor.name])
        by_name = {each.name: each for each in model.outputs}
        known |= {step.outputs[name]: by_name[name] for name in step.outputs}
    if config.steps:
        for tensor in config.outputs:
            _require_same(config.name, "its output", tensor, known.get(tensor.name))
        if unread:
            raise ProofError(f"model {config.name!r}: no step takes its input {min(unread)!r}")


def _require_same(ensemble: str, where: str, needed: Tensor, given: Tensor | None) -> None:
    if given is None or (given.datatype, given.shape) != (needed.datatype, needed.shape):
        told = "nothing" if given is None else f"{given.datatype} {list(given.shape)}"
        raise ProofError(
            f"model {ensemble!r}: {where} needs {needed.name!r}, {needed.datatype} "
            f"{list(needed.shape)}, and is given {told}"
        )


def _originals(bundle: BundleFolder) -> tuple[Arrays, Arrays]:
    inputs = bundle.manifest.inputs
    stored = read_stored(bundle.path, inputs)
    first, second = (draw_latents(inputs, stored, _PAIRS, seed=seed) for seed in (0, 1))
    return first, second


def _channels(layer: bundle_pb2.Layer) -> NDArray[np.bool_]:
    """Which channels each pair takes: none, some, all."""
    sets = np.random.default_rng(0).random((_PAIRS, layer.channels)) < 0.5
    sets[0], sets[-1] = False, True
    return sets


def _given(originals: tuple[Arrays, Arrays], channels: NDArray[np.bool_]) -> Arrays:
    """A hybrid's inputs, by their names."""
    latents = {
        f"{name}{which}": array
        for which, original in enumerate(originals, start=1)
        for name, array in original.items()
    }
    return {**latents, CHANNELS: channels}


def _run(
    ensemble: ModelConfig, sessions: Mapping[str, CpuSession], given: Arrays
) -> NDArray[np.float32]:
    """Compute a hybrid, step by step, as Triton would."""
    tensors = dict(given)
    for step in ensemble.steps:
        feeds = {name: tensors[own] for name, own in step.inputs.items()}
        made = sessions[step.model].run(feeds)
        tensors |= {own: made[name] for name, own in step.outputs.items()}
    return tensors[HYBRID].astype(np.float32, copy=False)


def _hybrids(
    bundle: BundleFolder,
    layer: bundle_pb2.Layer,
    originals: tuple[Arrays, Arrays],
    channels: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """Compute the same hybrids as the server does, from the bundle's files."""
    crossing = list(originals)
    if layer.upstream:
        upstream = CpuSession(bundle.file(layer.upstream), optimised=False)
        crossing = [{**original, **upstream.run(original)} for original in originals]
    samples = {name: np.concatenate([x[name] for x in crossing]) for name in crossing[0]}
    path = bundle.file(layer.downstream)
    axis = CHANNEL_AXIS[layer.kind]
    model = splice_samples(ir.load(path), activation=layer.tensor, channel_axis=axis)
    content = ir.to_proto(model).SerializeToString()
    first = np.arange(_PAIRS)
    tensors = samples | {
        SAMPLES: samples[layer.tensor],
        FIRST: first,
        DONORS: first + _PAIRS,
        SETS: channels,
    }
    return CpuSession(path, optimised=False, content=content).run(tensors)[HYBRIDS]
