"""The sums over a job's first shards, in files that appear whole or not at all.

It must not know what computes the shards.
"""

import hashlib
import os
from collections.abc import Set
from pathlib import Path
from typing import BinaryIO

import numpy as np

from graftscope.server.analysis import MapMoments
from graftscope.server.errors import Corrupt
from graftscope.server.jobs._store import Checkpoint
from graftscope.server.jobs._sums import Looks, Sums


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
