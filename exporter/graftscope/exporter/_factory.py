"""Python factories as what is exported: `package.module:function`.

The function returns a module, or the module, a method's name, keyword arguments and a selector of
the image, of which the last ones may be left out. Nothing of the user's code is changed.
"""

from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final

import torch

from graftscope.exporter._arguments import find_arguments
from graftscope.exporter._call import Call, Made
from graftscope.exporter._draw import draw_latents
from graftscope.exporter._hooks import find_hooks
from graftscope.exporter._image_range import find_range
from graftscope.exporter._inputs import make_inputs
from graftscope.exporter._making import make
from graftscope.exporter._module import IMAGE
from graftscope.exporter._onnx_image import require_image
from graftscope.exporter._samples import sample_images
from graftscope.exporter._state import load_weights
from graftscope.exporter._subject import Subject
from graftscope.exporter._trace import reference, trace
from graftscope.exporter._wishes import Wishes
from graftscope.exporter.progress import ExportCallback, ExportProgress, ExportStage
from graftscope.graph import Noise, image_of, inputs_for_randomness, refuse_unfit
from graftscope.v1 import bundle_pb2

_EXAMPLE_BATCH: Final = 2
_MADE_WITH: Final = ("torch", "onnx", "onnxscript", "onnx-ir")


def subject_from_factory(
    source: str, licence: str | None, wishes: Wishes, on_progress: ExportCallback
) -> Subject:
    """Call a factory and trace what it makes.

    Args:
        source: `package.module:function`.
        licence: The terms of the images it was trained on, if known.
        wishes: What is said of inputs, shapes, range and weights.
        on_progress: Hears of every step.

    Raises:
        SourceError: If the factory gives no module, its weights or what is said of its inputs do
            not fit, or PyTorch cannot turn it into a graph.
        RandomGraphError: If what it draws by itself cannot become an input.
    """
    on_progress(ExportProgress(ExportStage.TRACING, 0, 1))
    made = make(source)
    notes = _filled(made, wishes.weights)
    arguments = find_arguments(made, wishes)
    chosen = make_inputs(arguments.known, arguments.choices)
    drawn = draw_latents(chosen.inputs, chosen.stored, _EXAMPLE_BATCH)
    examples = {name: torch.tensor(array) for name, array in drawn.items()}
    call = Call(made, tuple(examples))
    model = trace(call, examples, [IMAGE], title=made.title)
    require_image(image_of(model.graph))
    refuse_unfit(model)
    noise = [_noise_input(each) for each in inputs_for_randomness(model)]
    on_progress(ExportProgress(ExportStage.TRACING, 1, 1))
    run = reference(call, noise=len(noise))
    inputs = (*chosen.inputs, *noise)
    pixels = find_range(
        image_of(model.graph),
        wishes.image_range,
        lambda: sample_images(model, inputs, chosen.stored, run),
    )
    return Subject(
        model,
        inputs,
        pixels.low,
        pixels.high,
        run,
        provenance=_provenance(source, wishes.weights, licence),
        stored=chosen.stored,
        bounded=pixels.bounded,
        notes=(*notes, *arguments.notes, *map(_noise_note, noise), *pixels.notes),
        find_hooks=partial(find_hooks, call, run, root=made.method == "forward"),
    )


def _filled(made: Made, weights: Path | None) -> tuple[str, ...]:
    if weights is not None:
        load_weights(made.module, weights)
        return ()
    return ("weights: those that the factory gave; load others with --weights FILE.safetensors",)


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


def _provenance(source: str, weights: Path | None, licence: str | None) -> bundle_pb2.Provenance:
    beside = "" if weights is None else f" with {weights.name}"
    return bundle_pb2.Provenance(
        recipe=f"made by {source}{beside}",
        licence=licence or "",
        versions={package: version(package) for package in _MADE_WITH},
    )
