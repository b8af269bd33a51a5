"""A precision on its way to the server, and what ran on its way back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from _fake_model import DIGEST, SIDE
from graftscope.client import Deviation, Execution, InfluenceResult, Precision
from graftscope.client.arrays import influence_maps
from graftscope.client.errors import InputError
from graftscope.client.values import HybridsTask, divided
from graftscope.client.wire import Outbox, request_of
from graftscope.client.wire._operations import made
from graftscope.v1 import precision_pb2

CLIENTS = ("sync", "async")

DEVIATION = Deviation(8, 6, 0.001, 0.0125, 0.05)

BF16 = Execution(DIGEST, Precision.BF16, "OpenVINOExecutionProvider", ("fold", "share"), DEVIATION)
CPU = Execution(DIGEST, Precision.FP32, "CPUExecutionProvider")
IMAGES = np.zeros((2, SIDE, SIDE, 3), np.uint8)
CALLS: dict[str, Callable[..., Any]] = {
    "generate": lambda client, **asked: client.generate("toy", count=2, **asked),
    "encode": lambda client, **asked: client.encode("toy", IMAGES, **asked),
    "hybridize": lambda client, **asked: client.hybridize("toy", "conv1", [0], pairs=2, **asked),
    "influence": lambda client, **asked: client.influence("toy", "conv1", pairs=2, **asked),
}


@pytest.mark.parametrize("call", CALLS)
def test_every_call_runs_in_float32_unless_asked_otherwise(client: Any, call: str) -> None:
    assert CALLS[call](client).execution == CPU
    assert CALLS[call](client, precision=Precision.BF16).execution == BF16
    assert CALLS[call](client, precision="auto").execution == BF16


def test_a_correction_comes_with_the_maps_and_is_saved_with_them(
    client: Any, tmp_path: Path
) -> None:
    found = client.influence("toy", "conv1", pairs=2, precision="bf16")
    assert found.corrected_pairs == 16
    np.testing.assert_allclose(found.correction, -0.001 * found.individual)
    found.save(tmp_path / "maps.npz")
    assert InfluenceResult.load(tmp_path / "maps.npz") == found
    parts = divided(found, {"first": slice(0, 2), "last": slice(2, 6)}).layers
    assert [x.size for part in parts.values() if (x := part.correction) is not None] == [2, 4]
    left = client.influence("toy", "conv1", pairs=2, precision="bf16", uncorrected=True)
    assert (left.corrected_pairs, left.correction) == (0, None)


def test_maps_may_be_a_little_below_nothing_after_a_correction() -> None:
    maps = np.full((1, 2, 2), 1.0)
    maps[0, 0, 0] = -0.009
    assert influence_maps(maps).min() < 0
    maps[0, 0, 0] = -0.02
    with pytest.raises(InputError, match="1 of 4 values are negative"):
        influence_maps(maps)


@pytest.mark.parametrize("word", Precision)
def test_a_precision_is_one_number_of_the_contract_also_in_a_word(word: Precision) -> None:
    for said in (word, word.value):
        task = HybridsTask("toy", "conv1", [0], precision=said)  # type: ignore[arg-type]
        number = request_of(task, Outbox()).precision
        assert precision_pb2.Precision.Name(number) == f"PRECISION_{word.value.upper()}"


def test_an_unknown_precision_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(
        InputError, match="precision 'half' is unknown; there are: fp32, bf16, tf32, fp16, auto"
    ) as caught:
        HybridsTask("toy", "conv1", [0], precision="half")  # type: ignore[arg-type]
    assert caught.value.field == "precision"


def test_what_ran_comes_back_with_rewrites_and_deviation() -> None:
    message = precision_pb2.Execution(
        model_digest="abc",
        precision=precision_pb2.PRECISION_TF32,
        provider="CUDAExecutionProvider",
        rewrites=["fold"],
        deviation=precision_pb2.Deviation(
            pairs=8, sets=6, individual_median=0.001, individual_worst=0.0125, worst=0.05
        ),
    )
    execution = made(message, Execution)
    expected = Execution("abc", Precision.TF32, "CUDAExecutionProvider", ("fold",), DEVIATION)
    assert execution == expected
    message.ClearField("deviation")
    assert made(message, Execution).deviation is None


def test_a_deviation_is_read_in_one_line() -> None:
    assert str(DEVIATION) == (
        "individual influences 0.10% (median) and 1.25% (worst) from float32, on 8 pairs and 6 sets"
    )
    images = Deviation(4, 0, 0.0, 0.0, 0.0021)
    assert str(images) == "0.21% (worst entry) from float32, on 4 samples"


def test_a_small_deviation_is_not_told_as_none() -> None:
    images = Deviation(4, 0, 0.0, 0.0, 2e-7)
    assert str(images) == "less than 0.01% (worst entry) from float32, on 4 samples"
    assert str(Deviation(4, 0, 0.0, 0.0, 0.0)).startswith("0.00% (worst entry)")


def test_numbers_are_named_as_they_are_read() -> None:
    kinds = ["float32", "bfloat16", "tf32", "float16"]
    assert [word.kind for word in Precision if word is not Precision.AUTO] == kinds
