"""What the first shards of an influence job amount to, and the files that keep it.

A file appears whole or not at all. It must not know what computes the shards.
"""

import hashlib
import os
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from graftscope.server.analysis import MapMoments
from graftscope.server.errors import Corrupt
from graftscope.server.failpoints import reach
from graftscope.server.jobs._job import Checkpoint


@dataclass(frozen=True, eq=False)
class Looks:
    """Labels of modules as they were after some of the shards, the oldest first.

    Attributes:
        pairs: (L,) int64, how many pairs had been added up.
        labels: (L, E) int64, the module of each map; -1 for none.
    """

    pairs: NDArray[np.int64]
    labels: NDArray[np.int64]

    def and_then(self, pairs: int, labels: NDArray[np.int64]) -> "Looks":
        """The same and one more."""
        return Looks(np.append(self.pairs, pairs), np.vstack([self.labels, labels]))

    @classmethod
    def none(cls, sets: int) -> "Looks":
        """No look yet, at so many maps."""
        return cls(np.zeros(0, np.int64), np.zeros((0, sets), np.int64))


@dataclass(frozen=True, eq=False)
class Sums:
    """What the first shards amount to.

    Attributes:
        shards: how many there are.
        moments: of the maps over their observations, (E, H, W): pairs, or means over a shard's
            pairs where those are stratified.
        individual: of every observation's mean over pixels, (E, 1, 1).
        products: (E, E), sum over pairs of the products of effects; None where not wanted.
        looks: what a stopping rule has seen so far; None where it looks at no labels.
        pairs_each: pairs of an observation.
    """

    shards: int
    moments: MapMoments
    individual: MapMoments
    products: NDArray[np.float64] | None = None
    looks: Looks | None = None
    pairs_each: int = 1

    @property
    def pairs(self) -> int:
        """How many pairs there are."""
        return self.moments.count * self.pairs_each


class CheckpointFolder:
    """Checkpoints below a folder, which is made if it is missing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def save(self, job_id: str, sums: Sums) -> Checkpoint:
        """Writes a checkpoint to the disk under a name of its own."""
        name = f"{job_id}-{sums.shards}.npz"
        temporary = self._folder / f".{name}"
        with temporary.open("wb") as file:
            _write(file, sums)
            file.flush()
            os.fsync(file.fileno())
        checksum = _sha256(temporary)
        reach("checkpoint-written")
        temporary.replace(self._folder / name)
        return Checkpoint(name, checksum)

    def load(self, checkpoint: Checkpoint) -> Sums:
        """Reads a checkpoint.

        Raises:
            Corrupt: the file is missing or its bytes do not match the checksum.
        """
        path = self._folder / checkpoint.file
        if not path.is_file() or _sha256(path) != checkpoint.sha256:
            raise Corrupt(f"checkpoint {checkpoint.file} is missing or damaged")
        with np.load(path) as file:
            count = int(file["count"])
            moments = MapMoments(count, file["mean"], file["m2"])
            individual = MapMoments(count, file["individual_mean"], file["individual_m2"])
            # Checkpoints of version 0.1.0 have none.
            products = file.get("products", np.zeros((0, 0)))
            products = products if products.size else None
            looks = Looks(file["look_pairs"], file["look_labels"]) if "look_pairs" in file else None
            pairs_each = int(file.get("pairs_each", 1))
            return Sums(int(file["shards"]), moments, individual, products, looks, pairs_each)

    def remove(self, checkpoint: Checkpoint | None) -> None:
        """Removes a checkpoint that is no longer needed."""
        if checkpoint is not None:
            (self._folder / checkpoint.file).unlink(missing_ok=True)

    def sweep(self, keep: Set[str]) -> int:
        """Removes files that no job names: a crash between file and row leaves such.

        Args:
            keep: names of files that are needed.

        Returns:
            How many files were removed.
        """
        orphans = [path for path in self._folder.iterdir() if path.name not in keep]
        for path in orphans:
            path.unlink(missing_ok=True)
        return len(orphans)


def _write(file: BinaryIO, sums: Sums) -> None:
    """Array by array, since sums may be as large as what computes them."""
    looks = sums.looks
    seen = {} if looks is None else {"look_pairs": looks.pairs, "look_labels": looks.labels}
    np.savez(
        file,
        shards=np.int64(sums.shards),
        count=np.int64(sums.moments.count),
        pairs_each=np.int64(sums.pairs_each),
        mean=sums.moments.mean,
        m2=sums.moments.m2,
        individual_mean=sums.individual.mean,
        individual_m2=sums.individual.m2,
        # Without products, an array of no elements.
        products=np.zeros((0, 0)) if sums.products is None else sums.products,
        allow_pickle=False,
        **seen,
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
