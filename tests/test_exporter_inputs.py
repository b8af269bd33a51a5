"""Facts about what a user says of inputs, and what becomes of it."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from graftscope.exporter import SourceError
from graftscope.exporter._input_choices import (
    InputChoice,
    InputKind,
    parse_input,
    parse_inputs,
)
from graftscope.exporter._inputs import constant_names, latent_names, make_inputs
from graftscope.exporter._known_input import KnownInput
from zip_toys import MIB, npz_of_zeros

Z = KnownInput("z", "FP32", (3,))
LABEL = KnownInput("label", "INT64", (), classes=10)


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("z=normal", InputChoice("z", InputKind.NORMAL)),
        ("z=normal:0,80", InputChoice("z", InputKind.NORMAL, (0.0, 80.0))),
        ("z=uniform:-1,0.25", InputChoice("z", InputKind.UNIFORM, (-1.0, 0.25))),
        ("t=choice:0.5,1,80", InputChoice("t", InputKind.CHOICE, (0.5, 1.0, 80.0))),
        ("label=onehot:10", InputChoice("label", InputKind.ONE_HOT, (10.0,))),
        ("t=constant:0.5", InputChoice("t", InputKind.CONSTANT, (0.5,))),
        ("t=constant:1e-05", InputChoice("t", InputKind.CONSTANT, (1e-5,))),
        ("x=images:a,b.zip,-1,1", InputChoice("x", InputKind.IMAGES, (-1.0, 1.0), Path("a,b.zip"))),
        ("x=images:hf:a/b,0,1", InputChoice("x", InputKind.IMAGES, (0.0, 1.0), Path("hf:a/b"))),
        ("z=truncated:0.7", InputChoice("z", InputKind.TRUNCATED, (0.7,))),
        ("label=classes:1000000", InputChoice("label", InputKind.CLASSES, (1e6,))),
        ("t=constant:a=b.npz", InputChoice("t", InputKind.CONSTANT, path=Path("a=b.npz"))),
        ("z=1=uniform:-1,1", InputChoice("z=1", InputKind.UNIFORM, (-1.0, 1.0))),
        ("z=1=normal", InputChoice("z=1", InputKind.NORMAL)),
        ("w=file:dir/w.npy", InputChoice("w", InputKind.FILE, path=Path("dir/w.npy"))),
    ],
)
def test_every_form_is_read_and_written_again(text: str, choice: InputChoice) -> None:
    assert parse_input(text) == choice
    assert str(choice) == text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("z", "it names no input"),
        ("=normal", "it names no input"),
        ("z=1=gauss", "there is no distribution '1=gauss'"),
        ("z=gauss", "there is no distribution 'gauss'"),
        ("z=normal:1", "'normal' takes 0 or 2 numbers, not 1"),
        ("z=normal:0,0", "DEVIATION must be greater than 0, not 0"),
        ("z=choice", "'choice' takes 1 to 10000 numbers, not 0"),
        ("z=choice:3..2", "'choice' takes 1 to 10000 numbers, not 0"),
        ("z=choice:0..99999999999", "'choice' takes 1 to 10000 numbers, not 10001"),
        ("z=choice:0.5..2", "'0.5..2' is no list of numbers"),
        ("z=onehot:0", "N must be a whole number from 1 to 2147483647, not 0"),
        ("z=constant:w.txt", "'w.txt' is no list of numbers"),
        (
            "z=images:faces",
            "it must say which numbers black and white are, such as images:faces,-1,1 or "
            "faces,0,255",
        ),
        ("z=images:faces,1,1", "LOW must be less than HIGH, but 1 is not less than 1"),
        ("z=uniform:1", "'uniform' takes 2 numbers, not 1"),
        ("z=uniform:1,1", "LOW must be less than HIGH, but 1 is not less than 1"),
        ("z=uniform:a,b", "'a,b' is no list of numbers"),
        ("z=truncated:0", "T must be greater than 0, not 0"),
        ("z=truncated:nan", "its numbers must be finite"),
        ("z=classes:2.5", "N must be a whole number from 1 to 2147483647, not 2.5"),
        ("z=file:w.txt", "'w.txt' is no .npz or .npy file"),
    ],
)
def test_another_form_is_refused_with_what_is_wrong_and_all_forms(text: str, problem: str) -> None:
    with pytest.raises(SourceError) as refused:
        parse_input(text)
    assert str(refused.value) == (
        f"--input {text!r} cannot be read: {problem}; allowed: NAME=normal, "
        "NAME=normal:MEAN,DEVIATION, NAME=uniform:LOW,HIGH, NAME=truncated:T, "
        "NAME=choice:V1,V2,FIRST..LAST, NAME=classes:N, NAME=onehot:N, NAME=constant:NUMBER, "
        "NAME=constant:FILE, NAME=file:FILE (FILE: .npz or .npy), NAME=images:FOLDER,LOW,HIGH or "
        "NAME=count"
    )


def test_an_input_that_is_named_twice_is_refused() -> None:
    with pytest.raises(SourceError, match="twice for 'z'; once is allowed"):
        parse_inputs(["z=normal", "z=truncated:1"])


def test_distributions_are_stated_in_the_order_of_the_inputs() -> None:
    chosen = make_inputs([Z, LABEL], parse_inputs(["label=classes:7", "z=truncated:0.5"]))
    z, label = chosen.inputs
    assert (z.name, z.datatype, list(z.shape)) == ("z", "FP32", [3])
    assert z.truncated_normal.threshold == 0.5
    assert (label.name, label.classes.count, list(label.shape)) == ("label", 7, [])
    assert chosen.stored == {}


def test_a_constant_is_stored_with_an_axis_in_front(tmp_path: Path) -> None:
    np.save(tmp_path / "z.npy", np.array([1.0, 2.0, 3.0]))
    chosen = make_inputs([Z], parse_inputs([f"z=constant:{tmp_path / 'z.npy'}"]))
    ((file, arrays),) = chosen.stored.items()
    assert chosen.inputs[0].fixed.file == file
    np.testing.assert_array_equal(arrays["z"], np.array([[1, 2, 3]], np.float32))
    assert arrays["z"].dtype == np.float32


def test_inputs_of_one_file_share_a_file_and_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "real.npz"
    np.savez(path, z=np.ones((4, 3)), label=np.arange(4, dtype=np.int32))
    choices = parse_inputs([f"z=file:{path}", f"label=file:{tmp_path}/../{tmp_path.name}/real.npz"])
    chosen = make_inputs([Z, LABEL], choices)
    assert [each.stored.count for each in chosen.inputs] == [4, 4]
    ((_, arrays),) = chosen.stored.items()
    assert {name: array.dtype for name, array in arrays.items()} == {
        "z": np.float32,
        "label": np.int64,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("y=normal", "--input is given for 'y', but the generator's inputs are: z, label"),
        ("z=classes:3", r"input 'z' FP32 (B, 3) cannot be 'classes', which is for UINT8 and INT32"),
        ("label=normal", "input 'label' INT64 (B,) cannot be 'normal', which is for FP32 and FP64"),
        ("label=classes:11", "takes labels below 10, so 11 classes are too many"),
        ("z=normal", "input 'label' INT64 (B,) has no distribution; say which with --input NAME="),
    ],
)
def test_a_distribution_that_does_not_fit_is_refused(text: str, message: str) -> None:
    with pytest.raises(SourceError) as refused:
        make_inputs([Z, LABEL], {**parse_inputs(["z=normal"]), **parse_inputs([text])})
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("known", "kind", "array", "message"),
    [
        (Z, "file", np.zeros((2, 4)), "holds shape (2, 4), not (count, 3)"),
        (Z, "file", np.zeros((0, 3)), "holds no values"),
        (Z, "constant", np.zeros((2, 3)), "holds shape (2, 3), not (1, 3)"),
        (Z, "file", np.full((2, 3), np.nan), "holds numbers that are not finite"),
        (Z, "file", np.full((2, 3), 1e300), "holds float64 values that are no float32"),
        (Z, "file", np.full((2, 3), "a"), "holds <U1, which is no number"),
        (LABEL, "file", np.array([0.5]), "holds float64 values that are no int64"),
        (LABEL, "file", np.array([3, 10]), "holds labels from 3 to 10; allowed are 0 to 9"),
        (LABEL, "constant", np.array(-1), "holds labels from -1 to -1; allowed are 0 to 9"),
    ],
)
def test_values_that_do_not_fit_are_refused(
    tmp_path: Path, known: KnownInput, kind: str, array: NDArray[np.generic], message: str
) -> None:
    path = tmp_path / "values.npy"
    np.save(path, array)
    with pytest.raises(SourceError) as refused:
        make_inputs([known], parse_inputs([f"{known.name}={kind}:{path}"]))
    assert str(refused.value) == f"{known}: {path} {message}"


def test_files_that_cannot_be_read_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "broken.npz").write_bytes(b"nothing of the kind")
    np.savez(tmp_path / "others.npz", a=np.zeros(1), b=np.zeros(1))
    npz_of_zeros(tmp_path / "bomb.npz", MIB, said=1100 * MIB)
    for name, problem in [
        ("missing.npy", "cannot be read: "),
        ("broken.npz", "cannot be read: "),
        ("bomb.npz", "cannot be read: it inflates to 1,153,433,600 bytes; at most 1,073,741,824"),
        ("others.npz", "has no array 'z'; it has: a, b"),
    ]:
        with pytest.raises(SourceError) as refused:
            make_inputs([Z], parse_inputs([f"z=file:{tmp_path / name}"]))
        assert str(refused.value).startswith(f"input 'z': {tmp_path / name} {problem}")
        assert "\n" not in str(refused.value)


def test_one_files_arrays_of_different_length_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "real.npz"
    np.savez(path, z=np.ones((4, 3)), label=np.arange(5))
    with pytest.raises(SourceError, match="as many values of each input, not 4 of 'z', 5 of 'lab"):
        make_inputs([Z, LABEL], parse_inputs([f"z=file:{path}", f"label=file:{path}"]))


def test_latents_are_what_differs_by_meaning(tmp_path: Path) -> None:
    np.save(tmp_path / "c.npy", np.zeros(3))
    known = [
        Z,
        LABEL,
        KnownInput("noise", "FP32", (1, 4, 4), noise=True),
        KnownInput("c", "FP32", (3,)),
    ]
    texts = ["z=normal", "label=classes:2", "noise=normal", f"c=constant:{tmp_path / 'c.npy'}"]
    inputs = make_inputs(known, parse_inputs(texts)).inputs
    assert latent_names(inputs) == ("z",)
    assert constant_names(inputs) == ("c",)


def test_an_input_of_absurd_size_is_refused() -> None:
    vast = KnownInput("z", "FP32", (10_000_000_000,))
    with pytest.raises(
        SourceError, match=r"z.* has 10000000000 elements a sample; at most 268435456"
    ):
        make_inputs([vast], {"z": InputChoice("z", InputKind.NORMAL)})
