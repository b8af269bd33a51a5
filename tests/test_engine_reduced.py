"""Images in another precision: what ran is said, with its measured distance from float32.

ONNX Runtime's CPU provider computes a float16 graph with roundings, which is all that these need.
"""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from graftscope.bundle import read_bundle
from graftscope.server.engine import (
    Backend,
    Device,
    Generator,
    Precision,
    PriorPairs,
    Ran,
    SessionPool,
    run_in,
)
from graftscope.server.engine._precision import CPU
from graftscope.server.errors import PrecisionUnavailable

PLAIN, HALF = Backend(CPU), Backend(CPU, Precision.FP16)
COUNT = 6


@pytest.fixture
def generator(toy_vae_bundle: Path) -> Generator:
    return Generator(read_bundle(toy_vae_bundle), SessionPool(Device.CPU, 8, offers=(PLAIN, HALF)))


def images_of(generator: Generator, wanted: str, width: float = 2.0) -> Ran[NDArray[np.float32]]:
    latents = PriorPairs(generator, seed=0).latents(range(COUNT))[0]

    def make(on: Generator, count: int | None) -> NDArray[np.float32]:
        return on.generate({name: array[:count] for name, array in latents.items()})

    return run_in(generator, wanted, make, lambda images: [images], width=width)


def test_float32_deviates_from_nothing(generator: Generator) -> None:
    ran = images_of(generator, "fp32")
    assert (ran.backend, ran.deviation) == (PLAIN, None)
    assert ran.made.shape[0] == COUNT


def test_float16_says_how_far_it_is(generator: Generator) -> None:
    plain, ran = images_of(generator, "fp32").made, images_of(generator, "fp16")
    assert ran.backend == HALF
    assert ran.deviation is not None
    assert (ran.deviation.pairs, ran.deviation.sets) == (4, 0)
    worst = float(np.abs(ran.made[:4] - plain[:4]).max()) / 2
    assert ran.deviation.worst == pytest.approx(worst)
    assert 0 < worst < 2.0**-8
    assert ran.made.dtype == np.float32


def test_auto_takes_the_fewest_bits_that_are_close(generator: Generator) -> None:
    assert images_of(generator, "auto").backend == HALF


def test_auto_is_float32_where_nothing_else_is_close(generator: Generator) -> None:
    # As if the range were so narrow that float16 could not tell its ends apart.
    ran = images_of(generator, "auto", width=1e-6)
    assert (ran.backend, ran.deviation) == (PLAIN, None)


def test_a_precision_that_is_not_there_is_refused(generator: Generator) -> None:
    with pytest.raises(PrecisionUnavailable, match=r"'bf16'.*fp16"):
        images_of(generator, "bf16")


def test_a_generator_on_another_backend_is_one_object(generator: Generator) -> None:
    assert generator.on(PLAIN) is generator
    assert generator.on(HALF) is generator.on(HALF)
    assert generator.on(HALF).on(HALF).backend == HALF
    assert generator.on(HALF).backends("fp32") == (PLAIN,)
