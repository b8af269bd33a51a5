"""Images that the server encodes: files in Python, files in a folder from the command line."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from _cli_shell import Shell
from graftscope.client.errors import InputError, ReplyError
from graftscope.client.wire import unpack
from server_toys import Stubs

CLIENTS = ("sync", "async")

MODEL = "toy-vae"
HALF_A_LEVEL = 0.5 + 1e-3


@pytest.fixture
def address(toy_server: Stubs) -> str:
    return toy_server.address


def levels(files: list[bytes]) -> NDArray[np.float64]:
    """(B, c, H, W) of files."""
    images = [np.asarray(Image.open(io.BytesIO(file))) for file in files]
    return np.stack(images).transpose(0, 3, 1, 2).astype(np.float64)


def far(files: list[bytes], images: NDArray[np.float32]) -> float:
    """Largest difference in grey levels."""
    return float(np.abs(levels(files) - (images.astype(np.float64) + 1) * 255 / 2).max())


@pytest.mark.parametrize("encoding", ["png", "webp"])
def test_samples_come_as_files(client: Any, encoding: str) -> None:
    arrays = client.generate(MODEL, count=3, seed=5)
    files = client.generate(MODEL, count=3, seed=5, encoding=encoding)
    assert far(files.images, arrays.images) <= HALF_A_LEVEL
    np.testing.assert_array_equal(files.latents["z"], arrays.latents["z"])
    version = f"{arrays.model}@{arrays.execution.model_digest[:12]}"
    assert repr(files) == f"<SampleFiles of {version}: 3 images, {encoding}>"


def test_hybrids_come_as_files(client: Any) -> None:
    arrays = client.hybridize(MODEL, "coarse", [0, 2], pairs=2, seed=5)
    files = client.hybridize(MODEL, "coarse", [0, 2], pairs=2, seed=5, encoding="png")
    for name in ("original1", "original2", "hybrid"):
        assert far(getattr(files, name), getattr(arrays, name)) <= HALF_A_LEVEL
    version = f"{arrays.model}@{arrays.execution.model_digest[:12]}"
    assert repr(files) == f"<HybridFiles of {version}: 2 pairs, png>"


def test_more_files_than_a_message_holds_are_read_as_an_artifact(client: Any) -> None:
    files = client.generate(MODEL, count=2000, encoding="png")
    assert levels(files.images).shape == (2000, 3, 16, 16)


def test_an_encoding_that_there_is_not_is_refused_before_it_is_sent(client: Any) -> None:
    with pytest.raises(InputError, match="encoding 'gif' is unknown; there are: png, webp"):
        client.generate(MODEL, encoding="gif")


@pytest.mark.parametrize("data", [b"\x05\0\0\0abc", b"\x01\0\0\0a\x01", b"\x01\0\0\0a\x01\0\0\0b"])
def test_files_that_do_not_add_up_are_refused(data: bytes) -> None:
    with pytest.raises(ReplyError, match="do not add up"):
        unpack(data, "BYTES", [1])


def test_generate_writes_a_file_a_sample(shell: Shell, tmp_path: Path) -> None:
    out = tmp_path / "faces"
    document = shell.json(
        "generate", "--model", MODEL, "--count", 2, "--encoding", "webp", "--out", out
    )
    assert document["files"] == ["0000.webp", "0001.webp"]
    assert [document[name] for name in ("encoding", "count", "out")] == ["webp", 2, str(out)]
    assert levels([(out / "0001.webp").read_bytes()]).shape == (1, 3, 16, 16)
    code, said, _ = shell(
        "generate", "--model", MODEL, "--count", 2, "--encoding", "png", "--out", out
    )
    assert (code, said) == (0, f"2 samples of {MODEL} -> {out}\n")


def test_hybridize_writes_both_originals_and_the_hybrid(shell: Shell, tmp_path: Path) -> None:
    given = ("hybridize", "--model", MODEL, "--layer", "coarse", "--channels", "0,1", "--pairs", 1)
    document = shell.json(*given, "--encoding", "png", "--out", tmp_path / "pairs")
    names = ["0000-hybrid.png", "0000-original1.png", "0000-original2.png"]
    assert document["files"] == names
    there = sorted(path.name for path in (tmp_path / "pairs").iterdir())
    assert there == [*names, "hybrids.npz"]
    code, said, _ = shell(*given, "--encoding", "png", "--out", tmp_path / "pairs")
    assert (code, "with both originals -> " in said) == (0, True)


@pytest.mark.parametrize("out", [None, "images.npz", "image.png"])
def test_files_need_a_folder(shell: Shell, tmp_path: Path, out: str | None) -> None:
    given = ["generate", "--encoding", "png", *(["--out", tmp_path / out] if out else [])]
    code, line = shell.refused(*given)
    assert code == 2
    wanted = "--encoding png writes several files: name a folder with --out"
    assert ("say where the samples go: --out FOLDER" if out is None else wanted) in line
