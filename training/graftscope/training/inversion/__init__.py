"""Real images for generators without an encoder: latents by a trained encoder, or by optimisation.

    trained = train_inverter(generator, "runs/inverter", data="faces.zip")
    found = invert(generator, images, encode=load_inverter("runs/inverter").encode)

A generator is handed in as a `SampledGenerator`, by whoever can run it: the exporter's room has
`train_inverter` and `invert` for bundles. Nothing here knows bundles or ONNX.
"""

from graftscope.training.inversion._checkpoint import (
    InverterConfig,
    InverterMetrics,
    TrainedInverter,
    is_inverter,
    load_inverter,
)
from graftscope.training.inversion._generator import GeneratorDescription, SampledGenerator
from graftscope.training.inversion._losses import Optimisation
from graftscope.training.inversion._measures import (
    Reconstruction,
    image_errors,
    reconstruction_of,
)
from graftscope.training.inversion._optimising import (
    DRAWS,
    Encode,
    Inversion,
    invert,
    nearest_draws,
)
from graftscope.training.inversion._photographs import in_range, load_photographs
from graftscope.training.inversion._settings import STEPS, InverterSettings
from graftscope.training.inversion._training import InverterResult, train_inverter

__all__ = [
    "DRAWS",
    "STEPS",
    "Encode",
    "GeneratorDescription",
    "Inversion",
    "InverterConfig",
    "InverterMetrics",
    "InverterResult",
    "InverterSettings",
    "Optimisation",
    "Reconstruction",
    "SampledGenerator",
    "TrainedInverter",
    "image_errors",
    "in_range",
    "invert",
    "is_inverter",
    "load_inverter",
    "load_photographs",
    "nearest_draws",
    "reconstruction_of",
    "train_inverter",
]
