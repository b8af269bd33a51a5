"""ONNX files as what is exported: any generator of images that ONNX Runtime runs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graftscope.exporter._image_range import find_range
from graftscope.exporter._inputs import ChosenInputs, InputChoice, InputKind, make_inputs
from graftscope.exporter._observe import observe_shapes
from graftscope.exporter._onnx_image import choose_output, require_image
from graftscope.exporter._onnx_inputs import build_in_numbers, guess_choices, known_inputs
from graftscope.exporter._onnx_read import read_onnx
from graftscope.exporter._onnx_reference import file_reference
from graftscope.exporter._quiet import quiet
from graftscope.exporter._samples import sample_images
from graftscope.exporter._shapes import parse_shapes
from graftscope.exporter._subject import Arrays, Subject
from graftscope.exporter._wishes import Wishes
from graftscope.exporter.errors import SourceError
from graftscope.exporter.progress import ExportCallback, ExportProgress, ExportStage
from graftscope.graph import (
    Noise,
    free_batch,
    image_of,
    inputs_for_randomness,
    normalise,
    refuse_unfit,
)
from graftscope.v1 import bundle_pb2


def subject_from_onnx(
    path: Path, licence: str | None, wishes: Wishes, on_progress: ExportCallback
) -> Subject:
    """Read a generator of images.

    The file itself, run by ONNX Runtime, is what the bundle is compared with.

    Args:
        path: An ONNX file.
        licence: The terms of the images it was trained on, if known.
        wishes: What the caller says of inputs, output and range.
        on_progress: Hears of every step.

    Raises:
        SourceError: If it is no ONNX file, not such a generator, or too old to be converted; or
            if an input has no distribution.
        GraphError: If a node makes the graph unfit to be cut, and for any batch.
    """
    on_progress(ExportProgress(ExportStage.TRACING, 0, 1))
    with quiet("onnx_ir"):
        subject = _read(path, licence, wishes)
    on_progress(ExportProgress(ExportStage.TRACING, 1, 1))
    return subject


def _read(path: Path, licence: str | None, wishes: Wishes) -> Subject:
    model = read_onnx(path)
    notes = choose_output(model.graph, wishes.output)
    model, left_out = _without_unused(model)
    _fix_shapes(model, wishes.shapes)
    numbers = build_in_numbers(model.graph, wishes.inputs)
    choices = {name: each for name, each in wishes.inputs.items() if name not in numbers}
    refuse_unfit(model)
    known_inputs(model.graph)  # refuses what could not be run to learn shapes
    observe_shapes(model, path)
    require_image(image_of(model.graph))
    noise = inputs_for_randomness(model)
    free_batch(model)
    chosen, guessed = _choose(model.graph, noise, choices)
    image = image_of(model.graph)
    found = find_range(image, wishes.image_range, lambda: _sample(path, model, chosen, numbers))
    return Subject(
        model,
        chosen.inputs,
        found.low,
        found.high,
        file_reference(path, image.name or "", numbers, hold_noise=bool(noise)),
        provenance=_provenance(path, licence),
        stored=chosen.stored,
        bounded=found.bounded,
        notes=(*notes, *left_out, *guessed, *found.notes),
    )


def _without_unused(model: ir.Model) -> tuple[ir.Model, tuple[str, ...]]:
    """Leave out what does not reach the image, inputs among it."""
    model = normalise(model)
    unused = [value for value in model.graph.inputs if not value.uses()]
    for value in unused:
        model.graph.inputs.remove(value)
    if not model.graph.inputs:
        raise SourceError("this is no generator of images: its image depends on no input")
    return model, tuple(
        f"input {each.name!r} is left out: it does not reach the image" for each in unused
    )


def _fix_shapes(model: ir.Model, texts: Sequence[str]) -> None:
    """Enter the shapes that are given, and infer the others anew."""
    shapes = parse_shapes(texts)
    inputs = {value.name: value for value in model.graph.inputs}
    for name, extents in shapes.items():
        if name not in inputs:
            raise SourceError(
                f"--shape is given for {name!r}, but the generator's inputs are: "
                f"{', '.join(map(str, inputs))}"
            )
        given = inputs[name].shape
        batch = given[0] if given is not None and len(given) else None
        inputs[name].shape = ir.Shape([batch, *extents])
    if shapes:
        for node in model.graph:
            for value in node.outputs:
                value.shape = None
        normalise(model)


def _choose(
    graph: ir.Graph, noise: Sequence[Noise], choices: Mapping[str, InputChoice]
) -> tuple[ChosenInputs, tuple[str, ...]]:
    """Give every input its distribution; random nodes have their own."""
    drawn = {each.name: each for each in noise}
    known = [
        replace(each, noise=True) if each.name in drawn else each for each in known_inputs(graph)
    ]
    own = {each.name: _own_choice(each) for each in noise if each.name not in choices}
    complete, notes = guess_choices(known, {**own, **choices})
    told = [
        f"{each}: was drawn inside the graph; {str(own[each.name]).partition('=')[2]}"
        for each in known
        if each.name in own
    ]
    return make_inputs(known, complete), (*notes, *told)


def _own_choice(noise: Noise) -> InputChoice:
    if noise.bounds is None:
        return InputChoice(noise.name, InputKind.NORMAL)
    return InputChoice(noise.name, InputKind.UNIFORM, noise.bounds)


def _sample(
    path: Path, model: ir.Model, chosen: ChosenInputs, numbers: Arrays
) -> NDArray[np.float32]:
    """Draw images from the prior with the file itself."""
    compute = file_reference(path, image_of(model.graph).name or "", numbers, hold_noise=False)
    return sample_images(model, chosen.inputs, chosen.stored, compute)


def _provenance(path: Path, licence: str | None) -> bundle_pb2.Provenance:
    return bundle_pb2.Provenance(
        recipe=f"imported from {path.name}",
        licence=licence or "",
        versions={package: version(package) for package in ("onnx", "onnx-ir")},
    )
