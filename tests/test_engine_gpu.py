"""On a GPU: the processor's numbers, and how far reduced precisions are from them.

Nothing here runs without one. The same bindings are tried on the processor's own provider too: sums
in test_engine_shard_sums.py, float16 in test_engine_half.py.
"""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from graftscope.bundle import read_bundle
from graftscope.server.engine import (
    Backend,
    Cancellation,
    ChannelSets,
    Device,
    Generator,
    Plan,
    Precision,
    PriorPairs,
    SessionPool,
    Trial,
    deviation,
    shard_effects,
)
from graftscope.server.engine._precision import CUDA

HAS_CUDA = CUDA in ort.get_available_providers() and Path("/dev/nvidia0").exists()
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not HAS_CUDA, reason="needs a CUDA device, and this machine has none"),
]
PAIRS = range(8)
# Of the largest influence: float32 in another order, and 11 bits of mantissa.
SAME, ROUNDED = 1e-5, 2e-2


def subject_on(device: Device, bundle: Path) -> ChannelSets:
    generator = Generator(read_bundle(bundle), SessionPool(device, 16))
    layer = generator.manifest.layers[1]
    return ChannelSets(generator, layer, np.eye(layer.channels, dtype=np.bool_), generator.areas(0))


def plan_in(subject: ChannelSets, precision: Precision) -> Plan:
    backend = Backend(subject.generator.provider, precision)
    return subject.candidates((backend,))[0]


def test_influence_on_a_gpu_is_that_of_the_processor(toy_vae_bundle: Path) -> None:
    found = []
    for device in Device:
        subject = subject_on(device, toy_vae_bundle)
        source = PriorPairs(subject.generator, 0)
        plan = plan_in(subject, Precision.FP32)
        found.append(shard_effects(subject, plan, source, PAIRS, Cancellation()))
    here, there = found
    largest = here.moments.mean.max()
    np.testing.assert_allclose(there.moments.mean, here.moments.mean, atol=SAME * largest)
    np.testing.assert_allclose(there.pixel_means, here.pixel_means, atol=SAME * largest)


@pytest.mark.parametrize("precision", [Precision.TF32, Precision.FP16])
def test_reduced_precisions_are_near_and_their_distance_is_measured(
    toy_vae_bundle: Path, precision: Precision
) -> None:
    subject = subject_on(Device.CUDA, toy_vae_bundle)
    plan = plan_in(subject, precision)
    found = deviation(Trial(subject, PriorPairs(subject.generator, 0), PAIRS, Cancellation()), plan)
    assert 0 < found.worst < ROUNDED
