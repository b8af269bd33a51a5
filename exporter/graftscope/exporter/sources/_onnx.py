"""ONNX files as what is exported: any generator of images that ONNX Runtime runs.

It is run before it is judged, and shapes that no rule tells are observed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import onnx_ir as ir

from graftscope.exporter._input_choices import InputChoice, InputKind
from graftscope.exporter._inputs import ChosenInputs, make_inputs
from graftscope.exporter._options import Options, Shape
from graftscope.exporter._rounding import measure_agreement
from graftscope.exporter._samples import sample_images
from graftscope.exporter._subject import GeneratorSubject
from graftscope.exporter.errors import SourceError
from graftscope.exporter.progress import quiet
from graftscope.exporter.sources._constants import fold_constants, fold_shapes
from graftscope.exporter.sources._first_run import enter_shapes, first_run
from graftscope.exporter.sources._image import find_range, require_image
from graftscope.exporter.sources._image_shape import choose_image
from graftscope.exporter.sources._observed import has_free_batch, observe_shapes
from graftscope.exporter.sources._onnx_file import (
    conversion_of,
    file_reference,
    open_onnx,
    plain_onnx,
)
from graftscope.exporter.sources._onnx_inputs import build_in_numbers, guess_choices, known_inputs
from graftscope.exporter.sources._plain_ends import plain_ends, quantisation_changes, type_changes
from graftscope.graph import (
    FixedBatchError,
    Noise,
    choose_instead_of_scattering,
    compute_in_float32,
    dequantise,
    foreign_operations,
    free_batch,
    image_of,
    inputs_for_randomness,
    normalise,
    refuse_blocks,
    refuse_unfit,
    scale_instead_of_weights,
    without_empty_inputs,
)
from graftscope.sandbox import Sandbox
from graftscope.v1 import bundle_pb2

_BATCHES = (2, 3)
_BATCH = "batch"


def subject_from_onnx(path: Path, licence: str | None, options: Options) -> GeneratorSubject:
    """Read a generator of images.

    The file itself, run by ONNX Runtime, is what the bundle is compared with.

    Args:
        path: An ONNX file.
        licence: The terms of the images it was trained on, if known.
        options: What the caller says of inputs, output and range.

    Raises:
        SourceError: If it is no ONNX file, not such a generator, or too old to be converted; or
            if an input has no distribution.
        ModelRefusedError: If it asks for more than a file may that was not made here.
        GraphError: If a node makes the graph unfit to be cut, and for any batch.
    """
    with quiet("onnx_ir"):
        return _read(path, licence, options)


def _read(path: Path, licence: str | None, options: Options) -> GeneratorSubject:
    Sandbox().require_file(path, options.shapes)
    model = open_onnx(path)
    refuse_blocks(model.graph)
    run = first_run(path, model.graph, options.shapes)
    model = plain_onnx(path, model)
    types = compute_in_float32(model)
    quantised = dequantise(model)
    enter_shapes(model.graph.outputs, run)
    form = choose_image(model.graph, options.output, options.image_shape)
    model, left_out = _without_unused(model)
    _fix_shapes(model, options.shapes)
    left_out += tuple(
        f"input {name!r} is left out: (B, 0) holds nothing" for name in without_empty_inputs(model)
    )
    numbers = build_in_numbers(model.graph, options.inputs)
    choices = {name: each for name, each in options.inputs.items() if name not in numbers}
    refuse_unfit(model)
    known_inputs(model.graph)  # refuses what could not be run to learn shapes
    alone = form.alone or run.alone_for(image_of(model.graph).name or "")
    if alone:
        _hold_at_one(model)
    observe_shapes(model, path)
    if not any(has_free_batch(value) for value in model.graph.inputs):
        fold_shapes(model)
        fold_constants(model, path)
    ends = plain_ends(model)
    require_image(image_of(model.graph))
    noise = inputs_for_randomness(model)
    if not any(map(has_free_batch, model.graph.inputs)):
        choose_instead_of_scattering(model)
        scale_instead_of_weights(model)
    _free_batch(model, alone)
    chosen, guessed = _choose(model.graph, noise, choices)
    image = image_of(model.graph)
    apart = bool(alone or quantised.measured)
    source = file_reference(path, image.name or "", numbers, hold_noise=False, alone=apart)
    source = form.reference(source)
    found = find_range(
        image,
        options.image_range or ends.range,
        lambda: sample_images(model, chosen.inputs, chosen.stored, ends.reference(source)),
    )
    if noise:
        source = file_reference(path, image.name or "", numbers, hold_noise=True, alone=apart)
        source = form.reference(source)
    changes = (*type_changes(types), *quantisation_changes(quantised), *ends.notes)
    agreement = measure_agreement(
        model,
        chosen.inputs,
        chosen.stored,
        types,
        width=found.high - found.low,
        folder=path.parent,
    )
    return GeneratorSubject(
        model,
        chosen.inputs,
        found.low,
        found.high,
        ends.reference(source),
        provenance=_provenance(path, licence),
        stored=chosen.stored,
        bounded=found.bounded,
        notes=(
            *(*form.notes, *left_out, *_alone_note(alone), *_foreign_note(model.graph), *changes),
            *(*guessed, *chosen.notes, *found.notes),
        ),
        agreement=ends.agreement(agreement, found.high - found.low),
        changes=changes,
        suspect=conversion_of(path),
    )


def _hold_at_one(model: ir.Model) -> None:
    """Fix the batch at 1, as in a file that says so."""
    for value in model.graph.inputs:
        assert value.shape is not None
        value.shape = ir.Shape([1, *value.shape[1:]])
    _infer_anew(model)


def _free_batch(model: ir.Model, alone: str) -> None:
    try:
        free_batch(model)
    except FixedBatchError as error:
        if not alone:
            raise
        raise FixedBatchError(f"{error} (the file fails on two samples: {alone})") from error


def _alone_note(alone: str) -> tuple[str, ...]:
    told = "though its batch is said to be free; in the bundle it is"
    return (f"the file computes one sample at a time, {told} ({alone})",) if alone else ()


def _foreign_note(graph: ir.Graph) -> tuple[str, ...]:
    found = foreign_operations(graph)
    return (f"no tensor is a layer that is made or read by {found}",) if found else ()


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


def _fix_shapes(model: ir.Model, shapes: Mapping[str, Shape]) -> None:
    """Enter the shapes that are given, and infer the others anew."""
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
        _infer_anew(model)


def _infer_anew(model: ir.Model) -> None:
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


def _provenance(path: Path, licence: str | None) -> bundle_pb2.Provenance:
    return bundle_pb2.Provenance(
        recipe=f"imported from {path.name}",
        licence=licence or "",
        versions={package: version(package) for package in ("onnx", "onnx-ir")},
    )
