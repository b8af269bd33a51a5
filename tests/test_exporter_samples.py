"""Facts about the samples that proofs and guesses are made on."""

import numpy as np
from numpy.typing import NDArray

from graftscope.exporter._samples import draw_latents, held, held_value
from graftscope.v1 import bundle_pb2

INPUTS = [
    bundle_pb2.Input(name="z", datatype="FP32", shape=[3], normal=bundle_pb2.Normal()),
    bundle_pb2.Input(
        name="u", datatype="FP64", shape=[2], uniform=bundle_pb2.Uniform(low=-3, high=-1)
    ),
    bundle_pb2.Input(
        name="t",
        datatype="FP32",
        shape=[4],
        truncated_normal=bundle_pb2.TruncatedNormal(threshold=0.5),
    ),
    bundle_pb2.Input(name="label", datatype="INT32", classes=bundle_pb2.Classes(count=4)),
    bundle_pb2.Input(name="c", datatype="FP32", shape=[2], fixed=bundle_pb2.Fixed(file="c")),
    bundle_pb2.Input(
        name="a", datatype="FP32", shape=[1], stored=bundle_pb2.Stored(file="s", count=5)
    ),
    bundle_pb2.Input(name="b", datatype="INT64", stored=bundle_pb2.Stored(file="s", count=5)),
]
STORED: dict[str, dict[str, NDArray[np.generic]]] = {
    "c": {"c": np.array([[1.5, 2.5]], np.float32)},
    "s": {"a": np.arange(5, dtype=np.float32)[:, None], "b": np.arange(5)},
}
BATCH = 2000


def test_every_distribution_is_drawn_within_its_support() -> None:
    drawn = draw_latents(INPUTS, STORED, BATCH)
    assert {name: array.shape for name, array in drawn.items()} == {
        "z": (BATCH, 3),
        "u": (BATCH, 2),
        "t": (BATCH, 4),
        "label": (BATCH,),
        "c": (BATCH, 2),
        "a": (BATCH, 1),
        "b": (BATCH,),
    }
    assert [array.dtype.name for array in drawn.values()] == [
        "float32", "float64", "float32", "int32", "float32", "float32", "int64",
    ]  # fmt: skip
    assert abs(np.mean(drawn["z"].astype(float))) < 0.1
    assert -3 <= drawn["u"].min() < drawn["u"].max() < -1
    assert 0.49 < np.abs(drawn["t"]).max() <= 0.5
    assert set(drawn["label"].tolist()) == {0, 1, 2, 3}
    assert (drawn["c"] == STORED["c"]["c"]).all()


def test_inputs_of_one_file_take_the_same_row() -> None:
    drawn = draw_latents(INPUTS, STORED, BATCH)
    np.testing.assert_array_equal(drawn["a"][:, 0], drawn["b"])
    assert set(drawn["b"].tolist()) == {0, 1, 2, 3, 4}


def test_a_draw_depends_on_the_seed_alone() -> None:
    first, again, other = (draw_latents(INPUTS, STORED, 5, seed=seed)["z"] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()


def test_a_narrow_truncated_normal_is_drawn_at_once() -> None:
    narrow = bundle_pb2.Input(
        name="t",
        datatype="FP64",
        shape=[2],
        truncated_normal=bundle_pb2.TruncatedNormal(threshold=1e-9),
    )
    drawn = draw_latents([narrow], {}, BATCH)["t"]
    assert 0.99e-9 < np.abs(drawn).max() <= 1e-9


def test_noise_alone_is_held() -> None:
    noise = bundle_pb2.Input(
        name="n", datatype="FP32", noise=True, uniform=bundle_pb2.Uniform(low=-1, high=3)
    )
    given = {"z": np.zeros((2, 3)), "n": np.zeros((2, 4))}
    found = held([INPUTS[0], noise], given)
    assert found["z"] is given["z"]
    assert (found["n"] == 2.0).all()
    assert held_value(INPUTS[0]) == 1.0
