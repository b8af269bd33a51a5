"""Runs the tutorials of docs/tutorials from top to bottom, each in a kernel of its own::

    python tools/notebooks.py                     # runs them, and writes them with what they print
    python tools/notebooks.py check               # runs them, and writes nothing
    python tools/notebooks.py check first-modules # only this one

They are kept with their outputs, which the documentation shows. A cell that raises ends it with
exit code 1. Each runs in a folder of its own with a state of its own, and asks no server.
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "tutorials"
MOST_BYTES = 300_000
"""No notebook is larger with its outputs."""

_CELL_S = 240
_KEPT = {"tags"}
"""Of a cell's metadata; the rest is when it ran, and what an editor remembers."""
_QUIET = ["--IPKernelApp.log_level=40"]
"""Kernels of today warn that they speak TCP, which does not leave this machine."""

_KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def run(path: Path) -> Any:
    """Run a notebook, and give it with its outputs.

    Raises:
        CellExecutionError: If a cell raises.
    """
    book: Any = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    with tempfile.TemporaryDirectory() as folder, _environment(Path(folder)):
        where = {"metadata": {"path": folder}}
        NotebookClient(
            book, timeout=_CELL_S, kernel_name="python3", resources=where, extra_arguments=_QUIET
        ).execute()
    book.metadata = {"kernelspec": _KERNEL, "language_info": {"name": "python"}}
    for cell in book.cells:
        # What is printed there speaks of the machine: its folders, and what it lacks.
        if cell.cell_type == "code":
            cell.outputs = [each for each in cell.outputs if each.get("name") != "stderr"]
        cell.metadata = {name: each for name, each in cell.metadata.items() if name in _KEPT}
    return book


@contextmanager
def _environment(folder: Path) -> Iterator[None]:
    """Have the kernel find this source tree, keep its jobs here, and ask no other server."""
    before = dict(os.environ)
    os.environ.pop("GRAFTSCOPE_SERVER", None)
    os.environ["XDG_STATE_HOME"] = str(folder / "state")
    os.environ["JUPYTER_RUNTIME_DIR"] = str(folder / "runtime")
    os.environ["IPYTHONDIR"] = str(folder / "ipython")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def main(arguments: Sequence[str]) -> int:
    """Run the notebooks that are named, or all, and write them unless they are only checked."""
    checking = list(arguments[:1]) == ["check"]
    names = arguments[1:] if checking else arguments
    paths = [FOLDER / f"{name}.ipynb" for name in names] or sorted(FOLDER.glob("*.ipynb"))
    for path in paths:
        began_s = time.monotonic()
        try:
            book = run(path)
        except CellExecutionError as error:
            sys.stderr.write(f"{path.relative_to(ROOT)}: {error}\n")
            return 1
        text = nbformat.writes(book) + "\n"  # type: ignore[no-untyped-call]
        size = len(text.encode())
        took_s = time.monotonic() - began_s
        print(f"{path.relative_to(ROOT)}: {took_s:.1f} s, {size / 1000:.0f} kB")
        if size > MOST_BYTES:
            sys.stderr.write(f"{path.name} has {size:,} bytes; at most {MOST_BYTES:,}\n")
            return 1
        if not checking:
            path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
