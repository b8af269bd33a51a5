"""How good a generator's samples are: distances to real images in the space of learnt features.

    from graftscope.training import measure

    quality = measure("runs/faces", "faces.npz", features="features.safetensors")
    times_halves = quality.prior.mean.frechet / quality.halves.mean.frechet

The features are those of a small network that is trained here to tell attributes of faces or
classes of things. It knows training's checkpoints and images, and no other room.
"""

from graftscope.training.quality._distances import Distances, distances_between
from graftscope.training.quality._features import FeatureConfig, Features, read_features
from graftscope.training.quality._labels import FeatureTask
from graftscope.training.quality._measurement import measure
from graftscope.training.quality._result import Distance, Quality, load_quality

__all__ = [
    "Distance",
    "Distances",
    "FeatureConfig",
    "FeatureTask",
    "Features",
    "Quality",
    "distances_between",
    "load_quality",
    "measure",
    "read_features",
]
