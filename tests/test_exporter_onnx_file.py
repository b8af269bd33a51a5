"""Facts about exporting generators that come as ONNX files."""

from pathlib import Path

import onnx
import onnx_ir as ir
import pytest

from graftscope.bundle import read_bundle
from graftscope.exporter import SourceError, SourceNotFoundError, export
from graftscope.graph import splice
from onnx_toys import CHAIN, REUSED_LATENT, SKIP, parse

OLD = CHAIN.replace('"": 20', '"": 17').replace("ir_version: 10", "ir_version: 8")


def save(path: Path, text: str) -> Path:
    onnx.save(ir.to_proto(parse(text)), path)
    return path


@pytest.mark.parametrize(
    ("text", "image_range"),
    [(CHAIN, (-1.0, 1.0)), (CHAIN.replace("Tanh", "Sigmoid"), (0.0, 1.0))],
)
def test_the_images_range_is_that_of_the_last_operation(
    tmp_path: Path, text: str, image_range: tuple[float, float]
) -> None:
    manifest = export(save(tmp_path / "toy.onnx", text), tmp_path / "toy", licence="MIT")
    assert (manifest.image.low, manifest.image.high) == image_range
    assert read_bundle(tmp_path / "toy").manifest == manifest


def test_the_manifest_says_where_it_comes_from(tmp_path: Path) -> None:
    source = save(tmp_path / "toy.onnx", SKIP)
    manifest = export(source, tmp_path / "toy", name="skip", licence="MIT")
    assert manifest.name == "skip"
    assert manifest.provenance.recipe == "imported from toy.onnx"
    assert manifest.provenance.licence == "MIT"
    assert [layer.tensor for layer in manifest.layers] == ["first", "second", "joined"]
    assert list(manifest.layers[1].carried) == ["first"]


def test_a_generator_of_an_older_opset_becomes_a_bundle_that_can_be_spliced(
    tmp_path: Path,
) -> None:
    source = save(tmp_path / "toy.onnx", OLD)
    new = export(save(tmp_path / "new.onnx", CHAIN), tmp_path / "new")
    manifest = export(source, tmp_path / "toy")
    assert [layer.tensor for layer in manifest.layers] == [layer.tensor for layer in new.layers]
    for file in (tmp_path / "toy").glob("*.onnx"):
        assert ir.load(file).opset_imports == {"": 18}
    for layer in manifest.layers:
        splice(ir.load(tmp_path / "toy" / layer.downstream))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (REUSED_LATENT, r"one float32 input .* inputs: 'z' FLOAT \[batch,8\], 'noise' FLOAT"),
        (CHAIN.replace("float[batch, 8]", "float[2, 8]"), r"inputs: 'z' FLOAT \[2,8\]"),
        (
            OLD.replace("Relu(maps)", "Nonesuch(maps)"),
            "opset 17 and cannot be converted to 18",
        ),
        (CHAIN.replace("Tanh", "Softplus"), "ends in Softplus, not in Tanh or Sigmoid"),
    ],
)
def test_what_is_not_supported_is_refused_in_one_line(
    tmp_path: Path, text: str, message: str
) -> None:
    source = save(tmp_path / "toy.onnx", text)
    with pytest.raises(SourceError, match=message) as refused:
        export(source, tmp_path / "toy")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "toy").exists()


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "toy.onnx").write_bytes(b"nothing of the kind")
    with pytest.raises(SourceError, match=r"toy\.onnx' is no ONNX file"):
        export(tmp_path / "toy.onnx", tmp_path / "toy")


def test_a_source_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="nowhere' does not exist"):
        export(tmp_path / "nowhere", tmp_path / "toy")


def test_a_source_of_another_kind_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    (tmp_path / "weights.pt").touch()
    with pytest.raises(SourceError, match=r"not supported; a source is .* or an \.onnx file"):
        export(tmp_path / "weights.pt", tmp_path / "toy")
