"""The folder of a model repository: what may be in it, and how models come to be there.

An export never deletes what it did not write: a model is replaced only where its configuration says
that it was written from a bundle of the same name, and where its folder holds nothing else.
"""

import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from graftscope.exporter._folder import exchange
from graftscope.exporter.errors import TargetExistsError
from graftscope.exporter.triton._config import owner_in

CONFIG_FILE: Final = "config.pbtxt"
KEPT_FILE: Final = ".keep"
"""Lies where a folder would be empty otherwise."""
_VERSION_FOLDER = re.compile(r"[1-9][0-9]*")
_OURS = re.compile(r"model\.onnx|\.keep|[^/]*\.bin|[^/]*\.data")


def require_repository(directory: Path) -> None:
    """Refuse a folder that is no model repository; one that is missing or empty may become one.

    Raises:
        TargetExistsError: If it is something else; it names what is in the way.
    """
    if not (directory.exists() or directory.is_symlink()):
        return
    if not directory.is_dir():
        raise TargetExistsError(f"{str(directory)!r} is not a Triton model repository, but a file")
    for path in sorted(directory.iterdir()):
        if path.name.startswith("."):
            continue
        if not _is_model(path):
            raise TargetExistsError(
                f"{str(directory)!r} is not a Triton model repository: it holds {path.name!r}, "
                f"which is no folder with {CONFIG_FILE} or a version; choose another folder"
            )


def replaceable(
    directory: Path, bundle: str, names: Iterable[str], *, overwrite: bool
) -> tuple[Path, ...]:
    """Find what an export puts others in place of: models of a bundle of that name.

    Args:
        directory: The repository.
        bundle: The bundle's name.
        names: The models to be written.
        overwrite: Whether they may be replaced.

    Returns:
        The folders of all models that were written from a bundle of that name, layers that are
        not among the names too: they would go on with another version's weights.

    Raises:
        TargetExistsError: If one is there and may not be replaced.
    """
    require_repository(directory)
    there = sorted(directory.iterdir()) if directory.is_dir() else []
    wanted = set(names)
    found = []
    for path in there:
        own = _owner(path) == bundle
        if path.name in wanted and not own:
            raise TargetExistsError(
                f"{str(directory)!r} has a model {path.name!r} that was not written from a bundle "
                f"{bundle!r}; choose another folder, or another name for the bundle"
            )
        if own:
            if not overwrite:
                raise TargetExistsError(
                    f"{str(directory)!r} has models of bundle {bundle!r} already, such as "
                    f"{path.name!r}; choose another folder, or replace them (--overwrite)"
                )
            _require_ours(path)
            found.append(path)
    return tuple(found)


def put(folder: Path, directory: Path, names: Iterable[str], old: Iterable[Path]) -> None:
    """Put models in a repository.

    One that is not there yet appears whole; in one that is, model after model, each at once, what
    ensembles run before the ensembles.

    Args:
        folder: Where the models are, on the same file system; what is replaced is left there.
        directory: The repository.
        names: The models, no ensemble before what it runs.
        old: Folders of models to be replaced or removed.
    """
    if not directory.exists():
        folder.rename(directory)
        return
    names = tuple(names)
    for path in old:
        if path.name not in names:
            path.rename(folder / f"{path.name}.removed")
    for name in names:
        if not (directory / name).exists():
            (folder / name).rename(directory / name)
        elif not exchange(folder / name, directory / name):
            (directory / name).rename(folder / f"{name}.replaced")
            (folder / name).rename(directory / name)


def link(source: Path, target: Path) -> bool:
    """Give a file a second name, or copy it where the file system knows no hard links.

    Returns:
        Whether it is one file.
    """
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)
        return False
    return True


def _is_model(path: Path) -> bool:
    if not path.is_dir():
        return False
    if (path / CONFIG_FILE).is_file():
        return True
    return any(_VERSION_FOLDER.fullmatch(each.name) and each.is_dir() for each in path.iterdir())


def _owner(path: Path) -> str | None:
    config = path / CONFIG_FILE
    return owner_in(config.read_text(errors="replace")) if config.is_file() else None


def _require_ours(path: Path) -> None:
    for each in sorted(path.rglob("*")):
        inner = each.relative_to(path).parts
        known = (
            inner == (CONFIG_FILE,)
            or (len(inner) == 1 and each.is_dir() and _VERSION_FOLDER.fullmatch(inner[0]))
            or (len(inner) == 2 and _OURS.fullmatch(inner[1]))
        )
        if not known or each.is_symlink():
            raise TargetExistsError(
                f"{str(path)!r} is not replaced: it holds {'/'.join(inner)!r}, which no export "
                "wrote; move it away"
            )
