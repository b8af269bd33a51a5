"""Reports of work that is counted in images, with its rate and the time that is left."""

import time
from collections.abc import Mapping

from graftscope.training.progress import ProgressCallback, Stage, TrainProgress


class Counter:
    """Counts images and reports each advance."""

    def __init__(
        self,
        stage: Stage,
        total: int,
        on_progress: ProgressCallback,
        *,
        saved_step: int | None = None,
    ) -> None:
        """Start the clock of a stage with `total` images; see `TrainProgress` for the rest."""
        self._stage, self._total, self._on_progress = stage, total, on_progress
        self._saved_step = saved_step
        self._began, self._done = time.monotonic(), 0

    def __call__(
        self, more: int, losses: Mapping[str, float] | None = None, epoch: int = 0
    ) -> None:
        """Report that so many more images are done."""
        self._done += more
        rate = self._done / max(time.monotonic() - self._began, 1e-9)
        self._on_progress(
            TrainProgress(
                stage=self._stage,
                step=self._done,
                steps=self._total,
                epoch=epoch,
                images_per_s=rate,
                eta_s=(self._total - self._done) / rate,
                losses=losses or {},
                saved_step=self._saved_step,
            )
        )
