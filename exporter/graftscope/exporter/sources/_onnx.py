"""ONNX files as what is exported: any generator of images that ONNX Runtime runs.

Shapes that no rule tells are observed: the graph is run on two batches of arbitrary values, since
shapes do not depend on them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graftscope.exporter._input_choices import InputChoice, InputKind
from graftscope.exporter._inputs import ChosenInputs, make_inputs
from graftscope.exporter._options import Options, Shape
from graftscope.exporter._rounding import measure_agreement
from graftscope.exporter._samples import sample_images
from graftscope.exporter._sessions import CpuSession
from graftscope.exporter._subject import GeneratorSubject
from graftscope.exporter.errors import ProofError, SourceError
from graftscope.exporter.progress import quiet
from graftscope.exporter.sources._constants import fold_constants, fold_shapes
from graftscope.exporter.sources._image import choose_output, find_range, require_image
from graftscope.exporter.sources._onnx_file import conversion_of, file_reference, read_onnx
from graftscope.exporter.sources._onnx_inputs import build_in_numbers, guess_choices, known_inputs
from graftscope.exporter.sources._plain_ends import plain_ends, quantisation_changes, type_changes
from graftscope.graph import (
    Noise,
    compute_in_float32,
    dequantise,
    foreign_operations,
    free_batch,
    image_of,
    inputs_for_randomness,
    normalise,
    refuse_unfit,
    static_extents,
)
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
        GraphError: If a node makes the graph unfit to be cut, and for any batch.
    """
    with quiet("onnx_ir"):
        return _read(path, licence, options)


def _read(path: Path, licence: str | None, options: Options) -> GeneratorSubject:
    model = read_onnx(path)
    types = compute_in_float32(model)
    quantised = dequantise(model)
    notes = choose_output(model.graph, options.output)
    model, left_out = _without_unused(model)
    _fix_shapes(model, options.shapes)
    numbers = build_in_numbers(model.graph, options.inputs)
    choices = {name: each for name, each in options.inputs.items() if name not in numbers}
    refuse_unfit(model)
    known_inputs(model.graph)  # refuses what could not be run to learn shapes
    _observe_shapes(model, path)
    if not any(_has_free_batch(value) for value in model.graph.inputs):
        fold_shapes(model)
        fold_constants(model, path)
    ends = plain_ends(model)
    require_image(image_of(model.graph))
    noise = inputs_for_randomness(model)
    free_batch(model)
    chosen, guessed = _choose(model.graph, noise, choices)
    image = image_of(model.graph)
    alone = bool(quantised.measured)
    source = file_reference(path, image.name or "", numbers, hold_noise=False, alone=alone)
    found = find_range(
        image,
        options.image_range or ends.range,
        lambda: sample_images(model, chosen.inputs, chosen.stored, ends.reference(source)),
    )
    if noise:
        source = file_reference(path, image.name or "", numbers, hold_noise=True, alone=alone)
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
            *(*notes, *left_out, *_foreign_note(model.graph), *changes),
            *(*guessed, *chosen.notes, *found.notes),
        ),
        agreement=ends.agreement(agreement, found.high - found.low),
        changes=changes,
        suspect=conversion_of(path),
    )


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


def _observe_shapes(model: ir.Model, path: Path) -> None:
    """Fill in types and shapes that are not known, but for the batch's extent.

    Args:
        model: A graph in plain form whose inputs' shapes are known; changed in place. A graph
            that cannot be run so is left as it is.
        path: The file it was read from, with its weights.
    """
    free = all(_has_free_batch(value) for value in model.graph.inputs)
    outputs = [value for node in model.graph for value in node.outputs if value.name]
    unknown = [value for value in outputs if not _is_known(value, free=free)]
    if not unknown:
        return
    batches = _BATCHES if free else (1, 1)
    try:
        first, second = (_run(model, path, unknown, batch) for batch in batches)
    except ProofError:
        return  # what runs on one sample alone is refused later, with the node in the way
    for value in unknown:
        seen = first[str(value.name)], second[str(value.name)]
        if (shape := _shape(*(each.shape for each in seen))) is not None:
            value.shape = shape
        value.dtype = ir.DataType.from_numpy(seen[0].dtype)


def _is_known(value: ir.Value, *, free: bool) -> bool:
    """Tell whether the type is known and all extents are fixed, but for that of a free batch."""
    if value.shape is None or value.dtype is None:
        return False
    return value.shape.is_static() or (free and static_extents(value) is not None)


def _has_free_batch(value: ir.Value) -> bool:
    return value.shape is not None and not isinstance(value.shape[0], int)


def _run(
    model: ir.Model, path: Path, values: list[ir.Value], batch: int
) -> dict[str, NDArray[np.generic]]:
    given = {str(value.name): _some(value, batch) for value in model.graph.inputs}
    proto = ir.to_proto(model)
    del proto.graph.output[:]
    for value in values:
        proto.graph.output.add(name=value.name)
    session = CpuSession(path, optimised=False, content=proto.SerializeToString())
    return {name: np.asarray(array) for name, array in session.run(given).items()}


def _some(value: ir.Value, batch: int) -> NDArray[np.generic]:
    shape = (batch, *(static_extents(value) or ()))
    assert value.dtype is not None
    return np.zeros(shape, value.dtype.numpy())


def _shape(first: tuple[int, ...], second: tuple[int, ...]) -> ir.Shape | None:
    if len(first) != len(second) or first[1:] != second[1:]:
        return None
    if first[:1] == second[:1]:
        return ir.Shape(first)
    pure = (first[0], second[0]) == _BATCHES
    return ir.Shape([_BATCH if pure else None, *first[1:]])
