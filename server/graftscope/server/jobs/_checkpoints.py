"""What the first shards of an influence job amount to, and the files that keep it.

A file appears whole or not at all. It must not know what computes the shards.
"""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graftscope.server.analysis import (
    Correction,
    Estimate,
    MapMoments,
    ShardGroups,
    TwoLevels,
)
from graftscope.server.blobs import (
    DAMAGED,
    BlobInfo,
    BlobMissing,
    Blobs,
    Incoming,
    storage_errors,
)
from graftscope.server.errors import Corrupt
from graftscope.server.failpoints import reach
from graftscope.server.jobs._job import Checkpoint, Job
from graftscope.server.logs import get_logger
from graftscope.server.tally import Tally

_log = get_logger("jobs")

# What the names of a correction's arrays begin with in a file.
_CORRECTION = "correction_"

# Likewise, of means over groups of shards: of maps, and of products.
_GROUPS, _PRODUCTS = "group_", "product_group_"


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
class Race:
    """What a rule that stops maps one by one said at its last look.

    Attributes:
        settled: (E,), whether a map is known well enough.
        sure: (E,), the probability of its label; NaN for a map in no module, and where the rule
            looks at no labels.
    """

    settled: NDArray[np.bool_]
    sure: NDArray[np.float64]

    @classmethod
    def none(cls, sets: int) -> "Race":
        """Nothing known yet of so many maps."""
        return cls(np.zeros(sets, np.bool_), np.full(sets, np.nan))


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
        correction: of a reduced precision, by float32; None where there is none.
        groups: means over groups of shards, for what resamples them; None where the first shards
            are of an earlier version, which kept none.
        product_groups: the same of the products, as E rows of height 1 and width E; None where
            those are not wanted, or the first shards are of a version that kept none.
        race: which maps have stopped, where a rule stops them one by one; None before its first
            look.
    """

    shards: int
    moments: MapMoments
    individual: MapMoments
    products: NDArray[np.float64] | None = None
    looks: Looks | None = None
    pairs_each: int = 1
    correction: Correction | None = None
    groups: ShardGroups | None = None
    product_groups: ShardGroups | None = None
    race: Race | None = None

    @property
    def map_estimate(self) -> Estimate:
        """The maps as they are told, (E, H, W): with their correction, where there is one."""
        if self.correction is None:
            return self.moments
        return TwoLevels(self.moments, self.correction.maps)

    @property
    def group_estimate(self) -> ShardGroups | None:
        """Groups likewise: each with the whole correction, so that they are those of the maps.

        What other pairs would change in the correction itself is not in their differences. It is
        small: that is why a reduced precision is corrected on few of the pairs.
        """
        if self.groups is None or self.correction is None:
            return self.groups
        return self.groups.plus(self.correction.maps.moments.mean)

    @property
    def individual_estimate(self) -> Estimate:
        """Individual influences likewise, (E, 1, 1)."""
        if self.correction is None:
            return self.individual
        return TwoLevels(self.individual, self.correction.individual)

    @property
    def pairs(self) -> int:
        """How many pairs there are; of the map that has had the most."""
        return int(self.pairs_of.max())

    @property
    def pairs_of(self) -> NDArray[np.int64]:
        """(E,), how many pairs each map has had."""
        return self.moments.count * self.pairs_each

    @property
    def mean_products(self) -> NDArray[np.float64] | None:
        """(E, E), mean over pairs of the products of effects; None where not wanted."""
        return None if self.products is None else self.products / self.pairs


def job_of(name: str) -> str:
    """The id of the job whose checkpoint has this name."""
    return name.partition("-")[0]


class CheckpointFolder:
    """Checkpoints, each under a name of its own: none takes the place of the one before.

    Args:
        blobs: where they are.

    Attributes:
        files: counts them, as this server writes and removes them.
    """

    def __init__(self, blobs: Blobs) -> None:
        self.files = Tally()
        self._blobs = blobs

    def save(self, job_id: str, sums: Sums, fence: int = 0) -> Checkpoint:
        """Writes a checkpoint, which is durable by then.

        Args:
            job_id: whose it is.
            sums: what it keeps.
            fence: of the attempt that writes.

        Raises:
            StorageFull: there is no room; nothing is left behind.
            StorageFailed: it cannot be written.
        """
        with self._blobs.incoming() as incoming:
            _write(incoming, sums)
            incoming.sync()
            # Part of the name, since the same sums are not the same bytes when written again.
            sha256 = incoming.digest
            name = f"{job_id}-{fence}-{sums.shards}-{sha256[:16]}.npz"
            with storage_errors():
                reach("checkpoint-written")
            is_new = self._blobs.info(name) is None
            incoming.keep(name)
        self.files.create(is_new)
        return Checkpoint(name, sha256)

    def load(self, checkpoint: Checkpoint) -> Sums:
        """Reads a checkpoint, into memory.

        Raises:
            Corrupt: it is missing or its bytes do not match the checksum.
        """
        try:
            with self._blobs.reader(checkpoint.file) as blob:
                data = blob.read(0, blob.info.size)
        except BlobMissing as error:
            raise Corrupt(f"checkpoint {checkpoint.file} is missing") from error
        if hashlib.sha256(data).hexdigest() != checkpoint.sha256:
            # Reading it again would fail as well; whoever looks for the cause finds it there.
            self._blobs.rename(checkpoint.file, f"{DAMAGED}{checkpoint.file}")
            raise Corrupt(f"checkpoint {checkpoint.file} is damaged")
        with np.load(io.BytesIO(data)) as file:
            # Earlier checkpoints have one number for all maps.
            count = np.broadcast_to(file["count"], len(file["mean"])).copy()
            moments = MapMoments(count, file["mean"], file["m2"])
            individual = MapMoments(count, file["individual_mean"], file["individual_m2"])
            # Checkpoints of version 0.1.0 have none.
            products = file.get("products", np.zeros((0, 0)))
            products = products if products.size else None
            looks = Looks(file["look_pairs"], file["look_labels"]) if "look_pairs" in file else None
            pairs_each = int(file.get("pairs_each", 1))
            corrected = {
                name.removeprefix(_CORRECTION): file[name]
                for name in file.files
                if name.startswith(_CORRECTION)
            }
            correction = Correction.of_arrays(corrected) if corrected else None
            groups, product_groups = (_groups(file, prefix) for prefix in (_GROUPS, _PRODUCTS))
            raced = "race_settled" in file
            race = Race(file["race_settled"], file["race_sure"]) if raced else None
            return Sums(
                int(file["shards"]),
                moments,
                individual,
                products,
                looks,
                pairs_each,
                correction,
                groups,
                product_groups,
                race,
            )

    def newest(self, job: Job) -> Sums | None:
        """What a job can go on from: its last checkpoint; where that is damaged, the one before."""
        for checkpoint in job.checkpoints:
            try:
                return self.load(checkpoint)
            except Corrupt as error:
                _log.warning("checkpoint left out", job=job.id, error=str(error))
        return None

    def keep_only(self, job: Job) -> None:
        """Removes a job's checkpoints that it does not name: the older ones, and what a crash left.

        Those of later attempts than the job's are another server's.
        """
        named = {checkpoint.file for checkpoint in job.checkpoints}
        for info in self._blobs.list():
            is_other = info.name in named or not info.name.startswith(f"{job.id}-")
            if not is_other and _fence(info.name) <= job.fence:
                self.remove_file(info.name)

    def list(self) -> list[BlobInfo]:
        """All checkpoints."""
        return self._blobs.list()

    def remove(self, checkpoint: Checkpoint | None) -> None:
        """Removes a checkpoint that is no longer needed."""
        if checkpoint is not None:
            self.remove_file(checkpoint.file)

    def remove_file(self, name: str) -> None:
        """Removes a checkpoint by the name of its file; nothing happens where there is none."""
        if self._blobs.remove(name):
            self.files.release()

    def has(self, checkpoint: Checkpoint | None) -> bool:
        """Whether there is a file of the checkpoint."""
        return checkpoint is not None and self._blobs.info(checkpoint.file) is not None

    def sweep_incoming(self) -> int:
        """Removes what was left by a process that ended while it wrote."""
        return self._blobs.sweep_incoming()


def _write(file: Incoming, sums: Sums) -> None:
    """Array by array, since sums may be as large as what computes them."""
    looks = sums.looks
    seen = {} if looks is None else {"look_pairs": looks.pairs, "look_labels": looks.labels}
    found = {} if sums.correction is None else sums.correction.arrays()
    corrected = {f"{_CORRECTION}{name}": array for name, array in found.items()}
    race = {} if sums.race is None else vars(sums.race)
    np.savez(
        file,
        shards=np.int64(sums.shards),
        count=sums.moments.count,
        pairs_each=np.int64(sums.pairs_each),
        mean=sums.moments.mean,
        m2=sums.moments.m2,
        individual_mean=sums.individual.mean,
        individual_m2=sums.individual.m2,
        # Without products, an array of no elements.
        products=np.zeros((0, 0)) if sums.products is None else sums.products,
        allow_pickle=False,
        **seen,
        **corrected,
        **_arrays_of(sums.groups, _GROUPS),
        **_arrays_of(sums.product_groups, _PRODUCTS),
        **{f"race_{name}": array for name, array in race.items()},
    )


def _arrays_of(groups: ShardGroups | None, prefix: str) -> dict[str, NDArray[np.generic]]:
    """Groups as a file's arrays, whose names begin like this; none where there are none."""
    found = {} if groups is None else vars(groups)
    return {f"{prefix}{name}": array for name, array in found.items()}


def _groups(file: Mapping[str, NDArray[Any]], prefix: str) -> ShardGroups | None:
    """The inverse."""
    if f"{prefix}means" not in file:
        return None
    return ShardGroups(*(file[f"{prefix}{name}"] for name in ("means", "pairs", "units")))


def _fence(name: str) -> int:
    """Of the attempt that wrote a checkpoint; names of earlier versions have none."""
    _, *numbers = name.split("-")
    return int(numbers[0]) if len(numbers) > 1 else 0
