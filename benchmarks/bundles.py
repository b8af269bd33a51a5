"""Bundles of PyTorch modules as they are, through the pipeline that checkpoints take."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor, nn

from graftscope.exporter._export import write_bundle
from graftscope.exporter._layer_choice import parse_layers
from graftscope.exporter.progress import ignore_progress
from graftscope.exporter.sources._checkpoint import EncoderModule, subject_from_modules
from graftscope.v1 import bundle_pb2


def export_module(
    generator: nn.Module,
    examples: Mapping[str, Tensor],
    out: Path,
    *,
    image_range: tuple[float, float] = (-1.0, 1.0),
    levels: Mapping[str, str] | None = None,
    encoder: EncoderModule | None = None,
    layers: Sequence[str] = (),
) -> bundle_pb2.Bundle:
    """Write a generator as a bundle that is called as its folder; return the manifest.

    Args:
        generator: Latents to images (B, C, H, W), each argument standard normal; in evaluation
            mode, on the CPU.
        examples: An example of each argument, (B, ...) float32 with B of at least 2, in order.
        out: The bundle's folder.
        image_range: The least and the largest value of an image's pixel.
        levels: Levels' names by layers' names.
        encoder: The encoder that belongs to it.
        layers: Which layers are cut; empty takes all.
    """
    low, high = image_range
    subject = subject_from_modules(generator, examples, encoder, low=low, high=high)
    subject = replace(subject, levels=levels or {})
    written = write_bundle(
        subject,
        out.name,
        out,
        overwrite=False,
        on_progress=ignore_progress,
        layers=parse_layers(layers),
    )
    return written.manifest
