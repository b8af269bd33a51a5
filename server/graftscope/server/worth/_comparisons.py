"""What the comparisons of sets with references give, as arrays.

Axes: S sets, R references, K modules, G groups of pairs, Q kinds of controls. It must not know how
images were made.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graftscope.server.analysis import REALISM_MEASURES, Realism, jackknife_stderr
from graftscope.server.worth._compared_sets import CONTROLS, FLOOR, MODULE, ComparedSet, places

VERDICTS = {"frechet": "verdict", "kernel": "kernel_verdict"}
"""Measures by which modules are compared with their controls, and what that is called."""


@dataclass(frozen=True, eq=False)
class Comparisons:
    """Each set against each reference.

    Attributes:
        sets: S sets.
        table: S times R.
    """

    sets: Sequence[ComparedSet]
    table: Sequence[Sequence[Realism]]

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Every measure, and Fréchet distances less the floor's, (R, S); verdicts, (Q, R, K).

        All with standard errors.
        """
        found: dict[str, NDArray[np.float64]] = {}
        for measure in REALISM_MEASURES:
            values, left_out = self._of(measure)
            found |= {measure: values, f"{measure}_stderr": jackknife_stderr(left_out)}
        return {**found, **self._excess(), **self._verdicts()}

    def _of(self, measure: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The values of a measure, (R, S), and without each group of pairs, (G, R, S)."""
        which = REALISM_MEASURES.index(measure)
        values = np.array([[x.values[which] for x in row] for row in self.table]).T
        left_out = np.array([[x.left_out[:, which] for x in row] for row in self.table])
        return values, left_out.transpose(2, 1, 0)

    def _excess(self) -> dict[str, NDArray[np.float64]]:
        """What the number of images adds to a distance is in the floor's too, and so is gone."""
        values, left_out = self._of("frechet")
        floor = places(self.sets, FLOOR)
        return {
            "excess": values - values[:, floor],
            "excess_stderr": jackknife_stderr(left_out - left_out[:, :, floor]),
        }

    def _verdicts(self) -> dict[str, NDArray[np.float64]]:
        kinds = [kind for kind in CONTROLS if places(self.sets, kind)]
        modules = places(self.sets, MODULE)
        found: dict[str, NDArray[np.float64]] = {}
        for measure, name in VERDICTS.items():
            values, left_out = self._of(measure)
            rows = np.full((2, len(kinds), len(values), len(modules)), np.nan)
            for q, kind in enumerate(kinds):
                for k, module in enumerate(modules):
                    controls = places(self.sets, kind, self.sets[module].module)
                    if len(controls) > 1:
                        rows[:, q, :, k] = _difference(values, left_out, module, controls)
            found |= {name: rows[0], f"{name}_stderr": rows[1]}
        return found


def _difference(
    values: NDArray[np.float64], left_out: NDArray[np.float64], module: int, controls: list[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A module's distances less the mean of its controls', (R,), with standard errors.

    The errors are over pairs and over which sets were drawn. The spread of the controls holds some
    of that over pairs, which so counts twice.
    """
    drawn = values[:, controls]
    over_pairs = jackknife_stderr(left_out[:, :, module] - left_out[:, :, controls].mean(axis=2))
    over_sets = drawn.std(axis=1, ddof=1) / np.sqrt(len(controls))
    return values[:, module] - drawn.mean(axis=1), np.hypot(over_pairs, over_sets)
