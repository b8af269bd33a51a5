"""Real images for bundles without an encoder: one is trained, or latents are optimised.

::

    from graftscope.exporter.inversion import invert_photographs, train_inverter

    train_inverter("gan-celeba", "runs/inverter", data="faces.zip")
    export("gan-celeba", "bundles/gan-faces", encoder="runs/inverter", data="faces.zip")
    found = invert_photographs("bundles/gan-faces", "photos", steps=200)

It runs a bundle's own graph, and hands it to `graftscope.training.inversion`, which knows none.
"""

from graftscope.exporter.inversion._bundle_generator import bundle_generator
from graftscope.exporter.inversion._inverting import (
    InvertedPhotographs,
    bundle_encoder,
    invert_photographs,
)
from graftscope.exporter.inversion._training import train_inverter

__all__ = [
    "InvertedPhotographs",
    "bundle_encoder",
    "bundle_generator",
    "invert_photographs",
    "train_inverter",
]
