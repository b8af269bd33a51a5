"""Distances between two sets of images by their features: Fréchet's and the kernel's.

Both are torchmetrics'. Features are arrays here; where they came from is not known.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

SUBSET: Final = 1000
"""The kernel distance of larger sets is the mean over subsets of this size."""


@dataclass(frozen=True)
class Distances:
    """How far two sets of images are from each other.

    Attributes:
        frechet: Squared Fréchet distance between Gaussians with the sets' means and covariances,
            at least 0; sets of finite size are apart even if they are from one distribution.
        kernel: Squared maximum mean discrepancy with the kernel (x·y/F + 1)³, without bias: 0 in
            the mean for sets from one distribution, and so sometimes below 0.
    """

    frechet: float
    kernel: float


def distances_between(one: NDArray[np.float64], other: NDArray[np.float64], seed: int) -> Distances:
    """Measure the distances between two sets of features.

    Args:
        one: Features (N, F).
        other: Features (N, F), as many.
        seed: Decides the kernel distance's subsets of sets larger than `SUBSET`.
    """
    # torchmetrics takes seconds to import, and whoever reads results only has no use for it.
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.kid import KernelInceptionDistance

    size = min(len(one), SUBSET)
    subsets = ceil(len(one) / size)
    # The caller's randomness stays as it was.
    with torch.random.fork_rng(devices=()), warnings.catch_warnings():
        torch.manual_seed(seed)  # torchmetrics draws its subsets from it
        # It warns that features are kept: here they are vectors, not images.
        warnings.filterwarnings("ignore", "Metric `Kernel Inception Distance` will save")
        frechet = FrechetInceptionDistance(feature=_Given(one.shape[1]))
        kernel = KernelInceptionDistance(_Given(one.shape[1]), subsets=subsets, subset_size=size)
        for metric in (frechet, kernel):
            metric.update(torch.from_numpy(one), real=True)
            metric.update(torch.from_numpy(other), real=False)
        return Distances(float(frechet.compute()), float(kernel.compute()[0]))


def spread(values: Sequence[Distances]) -> tuple[Distances, Distances]:
    """Return the mean and the standard deviation of several distances, one by one."""
    table = np.array([(value.frechet, value.kernel) for value in values])
    return Distances(*table.mean(0).tolist()), Distances(*table.std(0, ddof=1).tolist())


class _Given(nn.Module):
    """The feature network of features that are known already."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.num_features = features

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features
