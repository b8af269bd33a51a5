"""Facts about `graftscope.bundle.read_bundle`."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bundle_toys import write_toy
from graftscope.bundle import (
    MANIFEST_LIMIT_BYTES,
    BundleError,
    BundleNotFoundError,
    CorruptBundleError,
    ManifestError,
    UnknownFormatError,
    digest,
    read_bundle,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_toy(tmp_path / "toy")
    return tmp_path / "toy"


def edit(folder: Path, **fields: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_a_whole_bundle_is_read(folder: Path) -> None:
    bundle = read_bundle(str(folder))
    assert bundle.path == folder
    assert bundle.manifest.name == "toy"
    assert bundle.file(bundle.manifest.generator) == folder / "generator.onnx"


def test_a_bundle_is_the_same_wherever_it_lies(folder: Path, tmp_path: Path) -> None:
    manifest = read_bundle(folder).manifest
    moved = shutil.move(folder, tmp_path / "elsewhere")
    assert read_bundle(moved).manifest == manifest


def test_what_is_not_listed_does_not_matter(folder: Path) -> None:
    before = read_bundle(folder).manifest
    (folder / "MODEL_CARD.md").write_text("for people")
    assert read_bundle(folder).manifest == before


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleNotFoundError, match="nowhere' does not exist"):
        read_bundle(tmp_path / "nowhere")


def test_a_file_in_place_of_the_folder_is_refused(folder: Path) -> None:
    with pytest.raises(
        BundleNotFoundError, match=r"weights\.bin' does not exist or is not a folder"
    ):
        read_bundle(folder / "weights.bin")


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleNotFoundError, match=r"is not a bundle: it has no manifest\.json"):
        read_bundle(tmp_path)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "fc.downstream.onnx").unlink()
    with pytest.raises(CorruptBundleError, match=r"toy' lacks its file 'fc\.downstream\.onnx'"):
        read_bundle(folder)


def test_a_truncated_file_is_named(folder: Path) -> None:
    path = folder / "weights.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CorruptBundleError, match=r"'weights\.bin' is damaged or truncated"):
        read_bundle(folder)


def test_a_file_with_one_changed_bit_is_named(folder: Path) -> None:
    path = folder / "encoder.onnx"
    content = bytearray(path.read_bytes())
    content[17] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptBundleError, match=r"'encoder\.onnx' is damaged or truncated"):
        read_bundle(folder)


def test_a_manifest_that_was_changed_does_not_fit_its_digest(folder: Path) -> None:
    edit(folder, image={"channels": 3, "height": 8, "width": 8, "low": 0.0, "high": 1.0})
    with pytest.raises(CorruptBundleError, match=r"the digest in manifest\.json is '[0-9a-f]{64}'"):
        read_bundle(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path, elsewhere: path.symlink_to(elsewhere), "is a symbolic link"),
        (lambda path, elsewhere: path.symlink_to("/etc/passwd"), "is a symbolic link"),
        (lambda path, elsewhere: path.hardlink_to(elsewhere), r"has 2 names \(hard links\)"),
        (lambda path, elsewhere: os.mkfifo(path), "is no regular file"),
        (lambda path, elsewhere: path.mkdir(), "cannot be read|is no regular file"),
    ],
)
@pytest.mark.parametrize("name", ["weights.bin", "encoder.onnx", "manifest.json"])
def test_a_file_that_is_not_the_bundles_own_is_refused(
    folder: Path, tmp_path: Path, name: str, change: Callable[[Path, Path], object], message: str
) -> None:
    elsewhere = (folder / name).rename(tmp_path / "elsewhere")
    change(folder / name, elsewhere)
    with pytest.raises(CorruptBundleError, match=rf"file '{name}' ({message})"):
        read_bundle(folder)


def test_a_copy_of_a_bundle_of_links_is_read(folder: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    linked.mkdir()
    for path in folder.iterdir():
        (linked / path.name).symlink_to(path)
    shutil.copytree(linked, tmp_path / "copy")
    assert read_bundle(tmp_path / "copy").manifest == read_bundle(folder).manifest


def test_a_manifest_that_is_too_large_is_not_parsed(folder: Path) -> None:
    with (folder / "manifest.json").open("ab") as file:
        file.write(b" " * MANIFEST_LIMIT_BYTES)
    with pytest.raises(ManifestError, match="it holds more than the 4194304 bytes"):
        read_bundle(folder)


def test_a_bundle_of_format_1_is_read(folder: Path) -> None:
    manifest = read_bundle(folder).manifest
    manifest.format = 1
    edit(folder, format=1, digest=digest(manifest))
    assert read_bundle(folder).manifest.digest == digest(manifest)


def test_an_encoder_that_was_changed_does_not_fit_the_digest(folder: Path) -> None:
    path = folder / "manifest.json"
    encoder = json.loads(path.read_text())["encoder"]
    edit(folder, encoder={**encoder, "mean": "log_variance", "log_variance": "mean"})
    with pytest.raises(CorruptBundleError, match=r"the digest in manifest\.json is"):
        read_bundle(folder)


def test_a_manifest_that_is_not_text_is_refused(folder: Path) -> None:
    (folder / "manifest.json").write_bytes(b"\xff\xfe")
    with pytest.raises(CorruptBundleError, match=r"manifest\.json is not text in UTF-8"):
        read_bundle(folder)


@pytest.mark.parametrize(
    ("fields", "error"),
    [({"format": 3}, UnknownFormatError), ({"colour": "red"}, ManifestError)],
)
def test_what_is_wrong_with_the_manifest_is_told_with_its_path(
    folder: Path, fields: dict[str, object], error: type[BundleError]
) -> None:
    edit(folder, **fields)
    with pytest.raises(error, match=r"toy/manifest\.json: "):
        read_bundle(folder)
