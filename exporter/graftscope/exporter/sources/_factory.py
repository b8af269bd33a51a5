"""Python factories as what is exported: a module is made, filled with weights, and traced.

Weights come from the factory, or from a file.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import torch

from graftscope.exporter._inputs import make_inputs
from graftscope.exporter._options import Options
from graftscope.exporter._rounding import measure_agreement
from graftscope.exporter._samples import draw_latents, sample_images
from graftscope.exporter._subject import GeneratorSubject
from graftscope.exporter.sources._arguments import find_arguments
from graftscope.exporter.sources._fused import scale_maps
from graftscope.exporter.sources._hooks import find_hooks
from graftscope.exporter.sources._image import find_range, require_image
from graftscope.exporter.sources._module import Made, MethodModule, make
from graftscope.exporter.sources._plain_ends import plain_ends, type_changes
from graftscope.exporter.sources._trace import IMAGE, reference, trace, versions
from graftscope.exporter.sources._weights import load_weights
from graftscope.graph import (
    Noise,
    compute_in_float32,
    image_of,
    inputs_for_randomness,
    refuse_unfit,
)
from graftscope.v1 import bundle_pb2

_EXAMPLE_BATCH: Final = 2


def subject_from_factory(source: str, licence: str | None, options: Options) -> GeneratorSubject:
    """Call a factory and trace what it makes.

    Args:
        source: `package.module:function`.
        licence: The terms of the images it was trained on, if known.
        options: What is said of inputs, shapes, range and weights.

    Raises:
        SourceError: If the factory gives no module, its weights or what is said of its inputs do
            not fit, or PyTorch cannot turn it into a graph.
        RandomGraphError: If what it draws by itself cannot become an input.
    """
    made = replace(make(source), image_shape=options.image_shape)
    notes = (*_unwrapped_notes(made), *_filled(made, options.weights))
    changes = _type_changes(made)
    arguments = find_arguments(made, options)
    chosen = make_inputs(arguments.known, arguments.choices)
    drawn = draw_latents(chosen.inputs, chosen.stored, _EXAMPLE_BATCH)
    examples = {name: torch.tensor(array) for name, array in drawn.items()}
    call = MethodModule(made, tuple(examples), arguments.forms, arguments.latent)
    notes += scale_maps(made, call, list(examples.values()))
    model = trace(call, examples, [IMAGE], title=made.title)
    types = compute_in_float32(model)
    ends = plain_ends(model, inputs=False)
    changes += (*type_changes(types), *ends.notes)
    require_image(image_of(model.graph))
    refuse_unfit(model)
    noise = [_noise_input(each) for each in inputs_for_randomness(model)]
    run = ends.reference(reference(call, noise=len(noise)))
    inputs = (*chosen.inputs, *noise)
    pixels = find_range(
        image_of(model.graph),
        options.image_range or ends.range,
        lambda: sample_images(model, inputs, chosen.stored, run),
    )
    width = pixels.high - pixels.low
    agreement = measure_agreement(model, inputs, chosen.stored, types, width=width)
    return GeneratorSubject(
        model,
        inputs,
        pixels.low,
        pixels.high,
        run,
        provenance=_provenance(source, options.weights, licence),
        stored=chosen.stored,
        bounded=pixels.bounded,
        notes=(
            *(*notes, *changes, *arguments.notes, *chosen.notes),
            *(*map(_noise_note, noise), *pixels.notes),
        ),
        agreement=ends.agreement(agreement, width),
        changes=changes,
        find_hooks=partial(find_hooks, call, run, root=made.method == "forward"),
    )


def _unwrapped_notes(made: Made) -> tuple[str, ...]:
    if not made.wrappers:
        return ()
    around = ", ".join(made.wrappers)
    return (f"taken out of {around}: {type(made.module).__name__}, which PyTorch's hooks are of",)


def _type_changes(made: Made) -> tuple[str, ...]:
    if not made.types:
        return ()
    return (f"computed in float32: the module, whose weights are {' and '.join(made.types)}",)


def _filled(made: Made, weights: str | None) -> tuple[str, ...]:
    if weights is not None:
        return load_weights(made.module, weights)
    return ("weights: those that the factory gave; load others with --weights FILE",)


def _noise_input(noise: Noise) -> bundle_pb2.Input:
    stated = bundle_pb2.Input(name=noise.name, datatype="FP32", shape=noise.shape, noise=True)
    if noise.bounds is None:
        stated.normal.SetInParent()
    else:
        stated.uniform.low, stated.uniform.high = noise.bounds
    return stated


def _noise_note(stated: bundle_pb2.Input) -> str:
    drawn = "normal" if stated.HasField("normal") else "uniform"
    return f"input {stated.name!r} {tuple(stated.shape)}: was drawn inside the module; {drawn}"


def _provenance(source: str, weights: str | None, licence: str | None) -> bundle_pb2.Provenance:
    beside = "" if weights is None else f" with {Path(weights).name}"
    return bundle_pb2.Provenance(
        recipe=f"made by {source}{beside}",
        licence=licence or "",
        versions=versions(),
    )
