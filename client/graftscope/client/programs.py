"""How the programs of this installation are called in a terminal."""

import os
import shutil
import sys
import sysconfig
from pathlib import Path

_PROGRAM = "graftscope"


def own_program() -> str:
    """Say how this installation's command line is called: by name, if the shell finds it so."""
    started = Path(sys.argv[0])
    if started.stem == _PROGRAM and started.is_file():
        return _called(_PROGRAM, started)
    return _called(_PROGRAM, Path(sysconfig.get_path("scripts"), _PROGRAM))


def own_python() -> str:
    """Say how the Python that has this installation is called, as `own_program`."""
    return _called("python", Path(sys.executable))


def _called(name: str, path: Path) -> str:
    found = shutil.which(name)
    if not path.is_file() or (found is not None and _same_place(Path(found), path)):
        return name
    # Wherever the terminal stands.
    return str(path.absolute())


def _same_place(one: Path, other: Path) -> bool:
    """Whether they are one file; the Python of an environment is a link to another one's."""
    return one.absolute() == other.absolute() or (
        not one.is_symlink() and not other.is_symlink() and os.path.samefile(one, other)
    )
