"""PyTorch modules as what is exported."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

import torch
from torch import Tensor, nn

from graftscope.bundle import Originals
from graftscope.exporter._hooks import find_hooks
from graftscope.exporter._subject import EncoderSubject, Subject
from graftscope.exporter._trace import reference, trace
from graftscope.exporter.errors import SourceError
from graftscope.exporter.progress import ExportCallback, ExportProgress, ExportStage
from graftscope.v1 import bundle_pb2

IMAGE: Final = "image"
MEAN: Final = "mean"
LOG_VARIANCE: Final = "log_variance"


@dataclass(frozen=True)
class EncoderModule:
    """An encoder given as a module.

    Attributes:
        module: Images (B, C, H, W) in the generator's range -> the posterior's mean (B, Z) and
            log-variance (B, Z); in evaluation mode, on the CPU.
        originals: Mean and covariance of the training images' encodings.
    """

    module: nn.Module
    originals: Originals


def subject_from_modules(
    generator: nn.Module,
    examples: Mapping[str, Tensor],
    encoder: EncoderModule | None,
    *,
    low: float,
    high: float,
    on_progress: ExportCallback,
) -> Subject:
    """Trace a generator, and an encoder if there is one.

    Args:
        generator: Latents to images; in evaluation mode, on the CPU.
        examples: Examples of its arguments by name, (B, ...) with B of at least 2.
        encoder: The encoder that belongs to it.
        low: The least value of an image's pixel.
        high: The largest.
        on_progress: Hears of every step.

    Raises:
        SourceError: If PyTorch cannot turn the modules into graphs, or an input is of a kind
            that is not supported.
    """
    steps = 1 if encoder is None else 2
    on_progress(ExportProgress(ExportStage.TRACING, 0, steps))
    inputs = [_normal_input(name, example) for name, example in examples.items()]
    model = trace(generator, examples, [IMAGE])
    on_progress(ExportProgress(ExportStage.TRACING, 1, steps))
    traced = None
    if encoder is not None:
        with torch.no_grad():
            image = generator(*examples.values())
        traced = _trace_encoder(encoder, image, inputs)
        on_progress(ExportProgress(ExportStage.TRACING, 2, steps))
    run = reference(generator)
    hooks = partial(find_hooks, generator, run)
    return Subject(model, inputs, low, high, run, encoder=traced, find_hooks=hooks)


def _trace_encoder(
    encoder: EncoderModule, image: Tensor, inputs: list[bundle_pb2.Input]
) -> EncoderSubject:
    if len(inputs) != 1:
        names = ", ".join(each.name for each in inputs)
        raise SourceError(f"an encoder infers a generator's only input, but it has: {names}")
    model = trace(encoder.module, {IMAGE: image}, [MEAN, LOG_VARIANCE])
    return EncoderSubject(model, encoder.originals, reference(encoder.module))


def _normal_input(name: str, example: Tensor) -> bundle_pb2.Input:
    if example.dtype != torch.float32 or example.dim() < 2:
        raise SourceError(
            f"input {name!r} is {example.dtype} of shape {tuple(example.shape)}; supported are "
            "standard normal latents, float32 of shape (B, ...)"
        )
    return bundle_pb2.Input(
        name=name, datatype="FP32", shape=example.shape[1:], normal=bundle_pb2.Normal()
    )
