"""Facts about a manifest's JSON."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from bundle_toys import write_toy
from graftscope.bundle import (
    ManifestError,
    UnknownFormatError,
    is_bundle_name,
    manifest_from_json,
    manifest_to_json,
)
from graftscope.v1 import bundle_pb2

_SIXTY_FOUR_BITS = {
    FieldDescriptor.TYPE_INT64,
    FieldDescriptor.TYPE_UINT64,
    FieldDescriptor.TYPE_SINT64,
    FieldDescriptor.TYPE_FIXED64,
    FieldDescriptor.TYPE_SFIXED64,
}


@pytest.fixture
def manifest(tmp_path: Path) -> bundle_pb2.Bundle:
    return write_toy(tmp_path / "toy")


def changed(manifest: bundle_pb2.Bundle, change: Callable[[dict[str, Any]], object]) -> str:
    plain = json.loads(manifest_to_json(manifest))
    change(plain)
    return json.dumps(plain)


def test_a_manifest_survives_the_way_through_json(manifest: bundle_pb2.Bundle) -> None:
    assert manifest_from_json(manifest_to_json(manifest)) == manifest


def test_equal_manifests_have_the_same_text(manifest: bundle_pb2.Bundle) -> None:
    again = manifest_from_json(manifest_to_json(manifest))
    del again.provenance.metrics["kl"]
    again.provenance.metrics["kl"] = 41.25
    assert manifest_to_json(again) == manifest_to_json(manifest)


def test_fields_have_their_proto_names_and_defaults_are_printed(
    manifest: bundle_pb2.Bundle,
) -> None:
    plain = json.loads(manifest_to_json(manifest))
    assert plain["encoder"]["log_variance"] == "log_variance"
    assert plain["inputs"][0]["noise"] is False
    assert plain["provenance"]["licence"] == ""


def test_an_absent_encoder_is_not_printed(manifest: bundle_pb2.Bundle) -> None:
    manifest.ClearField("encoder")
    assert "encoder" not in json.loads(manifest_to_json(manifest))


def test_no_field_has_sixty_four_bits() -> None:
    def types(message: Descriptor) -> set[int]:
        below = [field.message_type for field in message.fields if field.message_type]
        return {field.type for field in message.fields}.union(*(types(each) for each in below))

    assert not types(bundle_pb2.Bundle.DESCRIPTOR) & _SIXTY_FOUR_BITS


@pytest.mark.parametrize("version", [0, 3, "1", None])
def test_another_version_of_the_format_is_refused(
    manifest: bundle_pb2.Bundle, version: object
) -> None:
    text = changed(manifest, lambda plain: plain.update(format=version, later="field"))
    with pytest.raises(
        UnknownFormatError, match=f"format {str(version)!r}; this version reads 1 and 2"
    ):
        manifest_from_json(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "must hold a JSON object, not a list"),
        ("7", "not a int"),
        ("[" * 200_000, "nested too deeply|not JSON"),
        ('{"format":' * 200_000, "nested too deeply|not JSON"),
        ("9" * 5000, "not JSON"),
        ('{"format": 2, "provenance": ' + '{"a":' * 150 + "1" + "}" * 151, "depth|nested|field"),
    ],
)
def test_what_is_no_json_object_is_refused(text: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        manifest_from_json(text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda plain: plain.update(sise=3), "sise"),
        (lambda plain: plain["image"].update(width="wide"), "wide"),
        (lambda plain: plain["layers"][0].update(channels=-1), "-1"),
        (lambda plain: plain.update(name="Two Words"), "name 'Two Words' must be lowercase"),
        (lambda plain: plain.update(layers=[]), "at least one layer"),
        (lambda plain: plain.update(inputs=[]), "at least one input"),
        (lambda plain: plain["layers"].append(plain["layers"][0]), "layer 'fc' is listed 2 times"),
        (lambda plain: plain["layers"][0].update(kind=0), "layer 'fc' has no kind"),
        (lambda plain: plain["layers"][0].update(height=0), "layer 'fc' is 4 x 0 x 2"),
        (lambda plain: plain["inputs"][0].pop("normal"), "input 'z' has no distribution"),
        (lambda plain: plain["inputs"][0].update(datatype="F4"), "datatype 'F4'; allowed: BOOL"),
        (lambda plain: plain["inputs"][0].update(shape=[0]), r"extent of 0: \[0\]"),
        (lambda plain: plain["image"].update(low=1.0), r"range \[1.0, 1.0\] is empty"),
        (lambda plain: plain["image"].update(width=0), "the image is 3 x 8 x 0"),
        (
            lambda plain: plain["image"].update(high="Infinity"),
            r"\[-1.0, inf\] is empty or has no end",
        ),
        (lambda plain: plain["image"].update(low="NaN"), r"range \[nan, 1.0\]"),
        (lambda plain: plain["image"].update(width=2**30), "image is 3 x 8 x 1073741824; at most"),
        (
            lambda plain: plain["layers"][0].update(channels=2**31),
            "layer 'fc' is 2147483648 x 2 x 2; at most 268435456 numbers",
        ),
        (lambda plain: plain["inputs"][0].update(shape=[2**20] * 3), "input 'z' is 1048576 x "),
        (lambda plain: plain["encoder"].update(input="y"), "infers input 'y'; the inputs: z"),
        (lambda plain: plain.update(generator="g.onnx"), "generator 'g.onnx' is not among"),
        (lambda plain: plain["files"][0].update(name="../x"), "file '../x' must be a plain file"),
        (lambda plain: plain["files"][0].update(name="/x"), "file '/x' must be a plain file"),
        (lambda plain: plain["files"].pop(), "'weights.bin'|not among"),
    ],
)
def test_what_cannot_be_is_refused_by_name(
    manifest: bundle_pb2.Bundle, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    # Weights are named by the graphs alone, so the manifest cannot tell that they are missing.
    manifest.files.sort(key=lambda file: file.name == "generator.onnx")
    with pytest.raises(ManifestError, match=message) as refused:
        manifest_from_json(changed(manifest, change))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("vae-celeba", True),
        ("a.b_2", True),
        ("", False),
        ("..", False),
        ("A", False),
        ("a/b", False),
    ],
)
def test_names_of_bundles(name: str, allowed: bool) -> None:
    assert is_bundle_name(name) is allowed
