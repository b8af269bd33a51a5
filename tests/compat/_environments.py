"""Environments in which other people's programs live, apart from the project's own.

Their packages ask for versions that the project's do not go with. What is installed once is kept
in `.venv-compat`, under a name that follows from what was asked for.
"""

import hashlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_KEPT = ROOT / ".venv-compat"
_INSTALL_S = 600.0


@dataclass(frozen=True)
class Environment:
    """A virtual environment of its own.

    Attributes:
        folder: where it lies.
    """

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def packages(self) -> Path:
        """Its site-packages."""
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        return self.folder / "lib" / version / "site-packages"


def environment(*steps: tuple[str, ...]) -> Environment:
    """An environment in which each step's arguments were given to `pip install`.

    Skips the test that asks, and says why, where a package cannot be had.
    """
    name = hashlib.sha256(repr((sys.version, steps)).encode()).hexdigest()[:16]
    kept = Environment(_KEPT / name)
    if not (kept.folder / "complete").exists():
        shutil.rmtree(kept.folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", kept.folder], check=True)
        for step in steps:
            _install(kept, step)
        (kept.folder / "complete").touch()
    return kept


def _install(kept: Environment, step: tuple[str, ...]) -> None:
    pip = [str(kept.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    installed = subprocess.run(
        [*pip, *step], capture_output=True, text=True, timeout=_INSTALL_S, check=False
    )
    if installed.returncode:
        last = (installed.stderr.strip().splitlines() or ["no reason given"])[-1]
        pytest.skip(f"pip cannot install {' '.join(step)}: {last}")
