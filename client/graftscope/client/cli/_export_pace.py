"""How far an export is, how long the rest takes, and what would take less."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from graftscope.client.cli._output import note
from graftscope.client.cli._progress import Shown
from graftscope.client.display import Advance
from graftscope.client.words import duration

if TYPE_CHECKING:
    from graftscope.exporter import ExportProgress

_LEAST_STEPS = 6
"""Of a stage, before the time left is told: the first ones of a proof are quicker than others."""
_LEAST_S = 2.0
_LONG_S = 300.0
_FEW_LAYERS = 20


class ExportPace:
    """Takes an export's progress and shows it.

    Args:
        show: What shows it.
        clock: Tells seconds.
    """

    def __init__(self, show: Shown, clock: Callable[[], float] = time.monotonic) -> None:
        self._show, self._clock = show, clock
        self._stage, self._began_s = "", 0.0
        self._told = False

    def __call__(self, progress: "ExportProgress") -> None:
        """Take one report."""
        stage = progress.stage.value
        if stage != self._stage:
            self._stage, self._began_s = stage, self._clock()
        passed_s = self._clock() - self._began_s
        left = progress.total - progress.done
        known = progress.done >= _LEAST_STEPS and passed_s >= _LEAST_S
        eta_s = passed_s / progress.done * left if known else None
        if stage == "proving" and not self._told and (eta_s or 0.0) > _LONG_S:
            self._told = True
            note(
                f"the proof takes about {duration(eta_s or 0.0)} more; --layer {_FEW_LAYERS} "
                "keeps that many layers, spread evenly from the latents to the image"
            )
        self._show(Advance(progress.done, progress.total, eta_s=eta_s, stage=stage))
