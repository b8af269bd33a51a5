"""A toy generator in numpy whose influence maps and modules are known.

It has 6 channels in two layers. Channel c adds latent z_c to one third of the image's rows, two
channels a third, so there are 3 modules.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from graftscope.v1 import bundle_pb2

CHANNELS = 6
SIDE = 6
DIGEST = "d" * 64


def patterns() -> NDArray[np.float64]:
    """(C, H, W): where each channel shows, and how strongly."""
    found = np.zeros((CHANNELS, SIDE, SIDE))
    for channel in range(CHANNELS):
        third = channel // 2
        found[channel, 2 * third : 2 * third + 2] = 0.1 * (channel + 1)
    return found


def draw(seed: int, pair: int, which: int) -> NDArray[np.float32]:
    """(C,) latents of one original."""
    return np.random.default_rng([seed, pair, which]).standard_normal(CHANNELS).astype(np.float32)


def render(latents: NDArray[np.float32]) -> NDArray[np.float32]:
    """(B, 3, H, W) images of (B, C) latents."""
    grey = np.einsum("bc,chw->bhw", latents, patterns())
    return np.repeat(grey[:, None], 3, axis=1).astype(np.float32)


def influence(
    latents1: NDArray[np.float32], latents2: NDArray[np.float32], sets: Sequence[Sequence[int]]
) -> NDArray[np.float64]:
    """(B, E, H, W): |hybrid - original 1| of every pair and set of channels."""
    difference: NDArray[np.float64] = latents2.astype(np.float64) - latents1
    changes = [np.einsum("bc,chw->bhw", difference[:, e], patterns()[list(e)]) for e in sets]
    every: NDArray[np.float64] = np.abs(np.stack(changes, axis=1))
    return every


def manifest() -> bundle_pb2.Bundle:
    """The toy's."""
    layers = [
        bundle_pb2.Layer(
            name=name,
            level=level,
            kind=bundle_pb2.LAYER_KIND_MAP,
            channels=CHANNELS,
            height=1,
            width=1,
            tensor=f"/{name}/Relu_output_0",
        )
        for name, level in (("conv1", "coarse"), ("conv2", "intermediate"))
    ]
    return bundle_pb2.Bundle(
        format=1,
        name="toy",
        digest=DIGEST,
        inputs=[
            bundle_pb2.Input(
                name="z", datatype="FP32", shape=[CHANNELS], normal=bundle_pb2.Normal()
            )
        ],
        image=bundle_pb2.Image(channels=3, height=SIDE, width=SIDE, low=-1.0, high=1.0),
        layers=layers,
        encoder=bundle_pb2.Encoder(file="encoder.onnx", input="z"),
        provenance=bundle_pb2.Provenance(recipe="toy", data="none", licence="CC0"),
    )
