"""Facts about ONNX files that are refused: one line each, and nothing is written."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from graftscope.exporter import SourceError, SourceNotFoundError, export
from graftscope.graph import GraphError
from onnx_cases import (
    CLASSES,
    CLASSIFIER,
    FIXED,
    LOOKED_UP,
    LOOP,
    SCORES,
    TIMED,
    TIMES,
    changed,
    of_opset,
    one_sample,
    save,
)
from onnx_toys import CHAIN, SKIP

NO_GENERATOR = (
    "this is no generator of images: an image is float or uint8, (B, C, H, W) or (B, H, W, C), "
    "with 1, 3 or 4 channels C, not "
)
FORMS = (
    "NAME=normal, NAME=normal:MEAN,DEVIATION, NAME=uniform:LOW,HIGH, NAME=truncated:T, "
    "NAME=choice:V1,V2,FIRST..LAST, NAME=classes:N, NAME=onehot:N, NAME=constant:NUMBER, "
    "NAME=constant:FILE, NAME=file:FILE (FILE: .npz or .npy), NAME=images:FOLDER,LOW,HIGH or "
    "NAME=count"
)
TWO_IMAGES = CHAIN.replace("8, 8] image)", "8, 8] image, float[batch, 3, 8, 8] colours)")
SEVENTEEN = {"w_out": np.zeros((17, 6, 3, 3), np.float32)}


def refusal(source: Path, out: Path, **options: object) -> str:
    """Export what cannot be, and return the line that says why."""
    with pytest.raises((SourceError, GraphError)) as refused:
        export(source, out, **options)  # type: ignore[arg-type]  # whatever a test gives
    assert not out.exists()
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    ("text", "constants", "message"),
    [
        (CLASSIFIER, SCORES, NO_GENERATOR + "'scores' FLOAT [batch,1000]"),
        (
            CHAIN.replace("3, 8, 8", "17, 8, 8"),
            SEVENTEEN,
            NO_GENERATOR + "'image' FLOAT [batch,17,8,8]",
        ),
        (
            CHAIN.replace("float[batch, 3, 8, 8]", "int32[batch, 3, 8, 8]").replace(
                "image = Tanh(colours)", "curve = Tanh(colours)\n    image = Cast<to = 6>(curve)"
            ),
            {},
            NO_GENERATOR + "'image' INT32 [batch,3,8,8]",
        ),
        (
            TWO_IMAGES,
            {},
            "several outputs may be the image; name one with --output: 'image' FLOAT "
            "[batch,3,8,8], 'colours' FLOAT [batch,3,8,8]",
        ),
        (
            TIMED,
            {},
            f"input 't' FP32 (B, 1, 1, 1) has no distribution; say which with --input {FORMS}",
        ),
        (
            CHAIN.replace("float[batch, 8] z", "float[batch, size] z"),
            {},
            "input 'z' FLOAT has shape [batch,size], of which more than the batch is free; fix the "
            "rest with --shape z=N,N,...",
        ),
        (
            CHAIN.replace("float[batch, 8] z", "float[] z"),
            {},
            "input 'z' FLOAT has no shape in the file; give it with --shape z=N,N,...",
        ),
        (
            CHAIN.replace("float[batch, 8] z", "double[batch, 8] wide, float psi").replace(
                "flat = Gemm(z,",
                "z = Cast<to = 1>(wide)\n    zz = Mul(z, psi)\n    flat = Gemm(zz,",
            ),
            {},
            "input 'psi' FLOAT is one number for all samples; give it with --input "
            "psi=constant:NUMBER",
        ),
        (
            CHAIN.replace("float[batch, 8] z", "int8[batch, 8] short").replace(
                "flat = Gemm", "z = Cast<to = 1>(short)\n    flat = Gemm"
            ),
            {},
            "input 'short' is INT8; allowed are BOOL, DOUBLE, FLOAT, INT32, INT64, UINT8",
        ),
        (
            CHAIN.replace("image = Tanh(colours)", "image = Identity(colours)"),
            {},
            "the image's range cannot be guessed: most pixels of 64 samples lie between -5.928 and "
            "6.154; give it with --range LOW,HIGH",
        ),
        (
            LOOP,
            TIMES,
            "node 'second' (Loop) is a loop between the inputs and the image; a generator with a "
            "loop cannot be cut: export it with the loop unrolled",
        ),
        (
            one_sample(SKIP).replace(
                "second = Relu(middle)",
                "turned = Transpose<perm = [1, 0, 2, 3]>(middle)\n"
                "    summed = ReduceSum(turned, last_axis)\n    second = Mul(middle, summed)",
            ),
            {**FIXED, "last_axis": np.array([1])},
            "the graph's batch is fixed at 1 and cannot be made free: in the way is node 'summed' "
            "(ReduceSum): it sums over the batch",
        ),
    ],
)
def test_what_cannot_be_a_bundle_is_refused_in_one_line(
    tmp_path: Path, text: str, constants: dict[str, NDArray[np.generic]], message: str
) -> None:
    source = save(tmp_path / "toy.onnx", text, **constants)
    assert refusal(source, tmp_path / "toy") == message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inputs": ["y=normal"]}, "--input is given for 'y', but the generator's inputs are: z"),
        ({"shapes": ["y=3"]}, "--shape is given for 'y', but the generator's inputs are: z"),
        (
            {"output": "picture"},
            "--output 'picture' is not among the graph's outputs: 'image' FLOAT [batch,3,8,8]",
        ),
        ({"image_range": (1.0, 1.0)}, "--range 1,1 is empty: LOW must be below HIGH"),
        (
            {"weights": Path("w.safetensors")},
            "--weights cannot be given for an ONNX file, which tells it",
        ),
    ],
)
def test_wishes_that_do_not_fit_are_refused(
    tmp_path: Path, options: dict[str, object], message: str
) -> None:
    source = save(tmp_path / "toy.onnx", CHAIN)
    assert refusal(source, tmp_path / "toy", **options) == message


def test_more_classes_than_the_table_has_are_refused(tmp_path: Path) -> None:
    source = save(tmp_path / "toy.onnx", LOOKED_UP, **CLASSES)
    assert refusal(source, tmp_path / "toy", inputs=["label=classes:11"]) == (
        "input 'label' INT64 (B,) takes labels below 10, so 11 classes are too many"
    )


def test_an_operation_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    old = of_opset(CHAIN, 17).replace("Gemm(z, w_fc, b_fc)", "Gemm(z, w_fc)")
    source = save(tmp_path / "old.onnx", old.replace("Relu(maps)", "Nonesuch(maps)"))
    line = refusal(source, tmp_path / "toy")
    assert line.startswith(f"source '{source}': ONNX Runtime cannot load old.onnx: ")
    source = save(tmp_path / "new.onnx", CHAIN.replace("Relu(maps)", "Nonesuch(maps)"))
    line = refusal(source, tmp_path / "toy")
    assert line.startswith(f"source '{source}': ONNX Runtime cannot load new.onnx: ")


@pytest.mark.parametrize("kept", [0, 1, 100, 2000, -1])
def test_a_file_that_is_cut_short_is_refused(tmp_path: Path, kept: int) -> None:
    source = save(tmp_path / "toy.onnx", CHAIN)
    source.write_bytes(source.read_bytes()[:kept])
    assert refusal(source, tmp_path / "toy").startswith(f"source '{source}' is no ONNX file: ")


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "toy.onnx"
    source.write_bytes(b"nothing of the kind")
    assert refusal(source, tmp_path / "toy").startswith(f"source '{source}' is no ONNX file: ")


def test_external_data_that_is_missing_short_or_elsewhere_is_refused(tmp_path: Path) -> None:
    source, weights = save(tmp_path / "toy.onnx", CHAIN), tmp_path / "toy.weights"
    onnx.save(
        onnx.load(source),
        source,
        save_as_external_data=True,
        location=weights.name,
        size_threshold=100,
    )
    weights.write_bytes(weights.read_bytes()[:-10])
    assert "are cut short: toy.weights" in refusal(source, tmp_path / "toy")
    weights.unlink()
    assert "are missing: toy.weights" in refusal(source, tmp_path / "toy")
    (tmp_path / "below").mkdir()
    elsewhere = tmp_path / "below" / "toy.onnx"
    elsewhere.write_bytes(source.read_bytes())
    changed(elsewhere, _look_above)
    assert "lie outside of its folder: ../toy.weights" in refusal(elsewhere, tmp_path / "toy")


def _look_above(model: onnx.ModelProto) -> None:
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = f"../{entry.value}"


def test_a_source_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="nowhere' does not exist"):
        export(tmp_path / "nowhere", tmp_path / "toy")


def test_a_source_of_another_kind_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    (tmp_path / "weights.pt").touch()
    with pytest.raises(SourceError, match=r"not supported; a source is .* an \.onnx file"):
        export(tmp_path / "weights.pt", tmp_path / "toy")
