"""The sums over a job's first shards, in files that appear whole or not at all.

It must not know what computes the shards.
"""

import hashlib
import io
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graftscope.server.analysis import MapMoments
from graftscope.server.errors import Corrupt
from graftscope.server.jobs._store import Checkpoint


@dataclass(frozen=True, eq=False)
class Sums:
    """What the first shards amount to.

    Attributes:
        shards: how many there are.
        moments: of the maps over their pairs.
        pixel_means: (N, E), every pair's mean over pixels, in order.
    """

    shards: int
    moments: MapMoments
    pixel_means: NDArray[np.float64]


class CheckpointFolder:
    """Checkpoints below a folder, which is made if it is missing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def save(self, job_id: str, sums: Sums) -> Checkpoint:
        """Writes a checkpoint to the disk under a name of its own."""
        buffer = io.BytesIO()
        np.savez(
            buffer,
            count=np.int64(sums.moments.count),
            mean=sums.moments.mean,
            m2=sums.moments.m2,
            pixel_means=sums.pixel_means,
            shards=np.int64(sums.shards),
        )
        data = buffer.getvalue()
        name = f"{job_id}-{sums.shards}.npz"
        temporary = self._folder / f".{name}"
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._folder / name)
        return Checkpoint(name, hashlib.sha256(data).hexdigest())

    def load(self, checkpoint: Checkpoint) -> Sums:
        """Reads a checkpoint.

        Raises:
            Corrupt: the file is missing or its bytes do not match the checksum.
        """
        path = self._folder / checkpoint.file
        data = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(data).hexdigest() != checkpoint.sha256:
            raise Corrupt(f"checkpoint {checkpoint.file} is missing or damaged")
        with np.load(io.BytesIO(data)) as file:
            moments = MapMoments(int(file["count"]), file["mean"], file["m2"])
            return Sums(int(file["shards"]), moments, file["pixel_means"])

    def remove(self, checkpoint: Checkpoint | None) -> None:
        """Removes a checkpoint that is no longer needed."""
        if checkpoint is not None:
            (self._folder / checkpoint.file).unlink(missing_ok=True)
