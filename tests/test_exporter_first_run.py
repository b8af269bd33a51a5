"""Facts about what a file does when it is run: that is told, before any rule about shapes."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from graftscope.exporter import Exported, SourceError, export
from graftscope.graph import FixedBatchError
from onnx_cases import changed, save
from onnx_toys import CHAIN, SKIP, run

ONE = {"shape_fc": np.array([1, 4, 4, 4])}
"""A target of Reshape that takes one sample alone."""

PYRAMID = CHAIN.replace(
    "float[batch, 3, 8, 8] image", "seq(float[batch, 3, 8, 8]) pyramid"
).replace(
    "image = Tanh(colours)",
    "image = Tanh(colours)\n    pyramid = SequenceConstruct(image, colours)",
)
SPLIT = SKIP.replace(
    "middle = Conv<pads = [1, 1, 1, 1]>(first, w_one)",
    "parts = SplitToSequence<axis = 1>(first, two)\n    half = SequenceAt(parts, zero)\n"
    "    middle = Conv<pads = [1, 1, 1, 1]>(half, w_half)",
)
LATER = SPLIT.replace(
    "joined = Add(last, first)",
    "more = SequenceInsert(parts, last)\n    joined = ConcatFromSequence<axis = 1>(more)",
)
PARTS = {
    "two": np.array(2),
    "zero": np.array(0),
    "w_half": np.random.default_rng(8).standard_normal((4, 2, 3, 3)).astype(np.float32),
}

WIDE = np.random.default_rng(9).standard_normal((3, 8, 3, 3)).astype(np.float32)


def tensors(exported: Exported) -> list[str]:
    return [layer.tensor for layer in exported.manifest.layers]


def bundled(folder: Path, z: NDArray[np.generic]) -> NDArray[np.generic]:
    """Compute images with the generator of a bundle, all at once."""
    model = ir.external_data.load_to_model(ir.load(folder / "generator.onnx"))
    return run(model, {"z": z})["image"]


def one_by_one(source: Path, z: NDArray[np.generic]) -> NDArray[np.generic]:
    """Compute images with a file itself, each alone."""
    return np.concatenate([run(ir.load(source), {"z": each[None]})["image"] for each in z])


def test_a_batch_that_only_the_inputs_call_free_is_made_free(tmp_path: Path) -> None:
    source = save(tmp_path / "toy.onnx", CHAIN, **ONE)
    exported = export(source, tmp_path / "toy")
    assert tensors(exported) == ["z", "first", "second"]
    assert exported.notes[0] == (
        "the file computes one sample at a time, though its batch is said to be free; in the "
        "bundle it is (ONNX Runtime cannot run toy.onnx with 'z' (2, 8): node '' (Reshape): The "
        "input tensor cannot be reshaped to the requested shape. Input shape:{2,64}, requested "
        "shape:{1,4,4,4})"
    )
    z = np.random.default_rng(3).standard_normal((5, 8)).astype(np.float32)
    assert np.abs(np.subtract(bundled(tmp_path / "toy", z), one_by_one(source, z))).max() < 1e-6


def test_samples_that_end_up_in_the_channels_are_kept_apart(tmp_path: Path) -> None:
    """Two samples run, but make one image of twice the channels."""
    text = CHAIN.replace(
        "image = Tanh(colours)", "curve = Tanh(colours)\n    image = Reshape(curve, merged)"
    )
    source = save(tmp_path / "toy.onnx", text, merged=np.array([1, -1, 8, 8]))
    exported = export(source, tmp_path / "toy")
    assert exported.notes[0].endswith(
        "(of two samples 'image' has shape (1, 6, 8, 8), of one (1, 3, 8, 8))"
    )
    z = np.random.default_rng(3).standard_normal((5, 8)).astype(np.float32)
    assert np.abs(np.subtract(bundled(tmp_path / "toy", z), one_by_one(source, z))).max() < 1e-6


def test_another_number_of_samples_in_the_graph_is_refused_with_what_to_change(
    tmp_path: Path,
) -> None:
    source = save(tmp_path / "toy.onnx", CHAIN, shape_fc=np.array([4, 4, 4, 4]))
    with pytest.raises(SourceError) as refused:
        export(source, tmp_path / "toy")
    assert str(refused.value) == (
        f"source '{source}': ONNX Runtime cannot run toy.onnx with 'z' (1, 8): node '' (Reshape): "
        "The input tensor cannot be reshaped to the requested shape. Input shape:{1,64}, requested "
        "shape:{4,4,4,4}; where a number of samples stands in the graph, such as in a Reshape, "
        "export it with -1 in its place, or with a batch of 1"
    )


def test_what_stands_in_the_way_is_told_with_what_happened(tmp_path: Path) -> None:
    summed = "turned = Transpose<perm = [1, 0, 2, 3]>(up)\n    summed = ReduceSum(turned, last)\n"
    text = CHAIN.replace("scaled = ", f"{summed}    up2 = Mul(up, summed)\n    scaled = ")
    text = text.replace("BatchNormalization(up,", "BatchNormalization(up2,")
    source = save(tmp_path / "toy.onnx", text, last=np.array([1]), **ONE)
    with pytest.raises(FixedBatchError) as refused:
        export(source, tmp_path / "toy")
    assert (
        "in the way is node 'summed' (ReduceSum): it sums over the batch (the file fails on "
        in (str(refused.value))
    )


def test_a_file_that_the_runtime_rejects_is_told_by_its_words(tmp_path: Path) -> None:
    """The image has no shape, and nothing else would be said of it."""
    text = CHAIN.replace("Relu(maps)", "Nonesuch(maps)").replace("3, 8, 8] image", "?, ?, ?] image")
    source = save(tmp_path / "toy.onnx", text.replace("?, ?, ?", "c, h, w"))
    with pytest.raises(SourceError, match=r"ONNX Runtime cannot load toy\.onnx: .*Nonesuch"):
        export(source, tmp_path / "toy")


def test_shapes_that_only_a_run_tells_are_those_of_the_outputs(tmp_path: Path) -> None:
    """An output that is no image is not taken for one because its shape is open."""
    text = CHAIN.replace("image) {", "image, float[n, m] scores) {").replace(
        "image = Tanh(colours)", "image = Tanh(colours)\n    scores = Flatten(colours)"
    )
    source = save(tmp_path / "toy.onnx", text)
    changed(source, lambda model: model.graph.output[1].type.tensor_type.ClearField("shape"))
    exported = export(source, tmp_path / "toy")
    assert exported.notes[0].startswith("output 'image': the only image of 2 outputs")


def test_a_sequence_among_the_outputs_is_no_image(tmp_path: Path) -> None:
    source = save(tmp_path / "toy.onnx", PYRAMID)
    with pytest.raises(SourceError) as refused:
        export(source, tmp_path / "toy")
    assert str(refused.value).endswith(
        "not 'pyramid', a sequence (give its tensors outputs of their own)"
    )
    text = PYRAMID.replace(") => (", ") => (float[batch, 3, 8, 8] image, ")
    exported = export(save(tmp_path / "both.onnx", text), tmp_path / "toy")
    assert tensors(exported) == ["z", "first", "second"]


def test_what_is_taken_from_a_sequence_is_a_layer(tmp_path: Path) -> None:
    exported = export(save(tmp_path / "toy.onnx", SPLIT, **PARTS), tmp_path / "toy")
    assert tensors(exported) == ["z", "first", "half", "second", "joined"]


def test_a_cut_that_a_sequence_would_cross_is_left_out_with_a_line(tmp_path: Path) -> None:
    exported = export(save(tmp_path / "toy.onnx", LATER, **PARTS, w_out=WIDE), tmp_path / "toy")
    assert "second" not in tensors(exported)
    assert "joined" in tensors(exported)
    line = next(note for note in exported.notes if note.startswith("layer 'second' is left out"))
    assert line.endswith("and their first axis is not the batch: 'parts' (a sequence)")


def test_a_file_that_cannot_be_fed_yet_is_asked_for_its_shapes(tmp_path: Path) -> None:
    text = CHAIN.replace("float[batch, 8] z", "float[batch, size] z")
    source = save(tmp_path / "toy.onnx", text)
    with pytest.raises(SourceError, match="fix the rest with --shape z=N,N"):
        export(source, tmp_path / "toy")
    assert tensors(export(source, tmp_path / "toy", shapes=["z=8"])) == ["z", "first", "second"]


def test_inputs_of_whole_numbers_that_must_not_be_0_are_run_with_ones(tmp_path: Path) -> None:
    text = CHAIN.replace("float[batch, 8] z)", "float[batch, 8] z, int64[batch] size)").replace(
        "maps = Reshape", "ones = Mod(size, size)\n    kept = Cast<to = 1>(ones)\n"
        "    column = Unsqueeze(kept, last)\n    moved = Add(flat, column)\n    maps = Reshape"
    ).replace("Reshape(flat", "Reshape(moved")  # fmt: skip
    source = save(tmp_path / "toy.onnx", text, last=np.array([1]))
    with pytest.raises(SourceError, match=r"^input 'size' INT64 \(B,\) has no distribution"):
        export(source, tmp_path / "toy")
