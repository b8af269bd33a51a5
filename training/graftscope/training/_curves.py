"""The curves of a training: always `metrics.csv`, and TensorBoard where it is asked for."""

import csv
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from graftscope.training._files import csv_bytes, write_csv
from graftscope.training.errors import MissingExtraError

CURVES_FILE = "metrics.csv"


class Curves(Protocol):
    """What the loop needs of a writer of curves."""

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to each curve; every call names the same curves."""


class CsvCurves:
    """One row a report, one column a curve."""

    def __init__(self, folder: Path, start_step: int) -> None:
        """Open the file; rows beyond `start_step` are left from what is done again."""
        self._path = folder / CURVES_FILE
        kept = _rows_until(self._path, start_step)
        self._has_header = bool(kept)
        write_csv(self._path, kept)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Append a row."""
        rows: list[Sequence[object]] = [] if self._has_header else [("step", *values)]
        rows.append((step, *(f"{value:.6g}" for value in values.values())))
        with self._path.open("ab") as file:
            file.write(csv_bytes(rows))
        self._has_header = True


class TensorBoardCurves:
    """Scalars in TensorBoard's event files under `tensorboard/`."""

    def __init__(self, folder: Path, start_step: int) -> None:
        """Open the event file; events from `start_step` on are replaced."""
        if find_spec("tensorboard") is None:
            raise MissingExtraError(
                "the setting tensorboard=true needs TensorBoard; "
                "install it with: pip install tensorboard"
            )
        writer = import_module("torch.utils.tensorboard").SummaryWriter
        self._writer = writer(str(folder / "tensorboard"), purge_step=start_step + 1)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to each curve, and let it be seen at once."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()


def open_curves(folder: Path, start_step: int, *, tensorboard: bool) -> tuple[Curves, ...]:
    """Open every writer of curves that a training has.

    Raises:
        MissingExtraError: If TensorBoard is asked for and not installed.
    """
    curves: list[Curves] = [CsvCurves(folder, start_step)]
    if tensorboard:
        curves.append(TensorBoardCurves(folder, start_step))
    return tuple(curves)


def _rows_until(path: Path, step: int) -> list[list[str]]:
    if not path.is_file():
        return []
    written = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    # A training that was interrupted before its first row leaves an empty file.
    if not written:
        return []
    header, *rows = written
    # A crash may have cut the last row short; such a row is beyond the last state anyway.
    whole = [row for row in rows if len(row) == len(header) and int(row[0]) <= step]
    return [header, *whole] if whole else []
