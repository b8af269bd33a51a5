"""Models that were tried and found good, by what they are, so that each is tried once.

An empty file for each, named by a sha256 over the model, the libraries that opened it and the
rules that it was tried by: other libraries, or other rules, try it again.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

RULES: Final = "1"
"""Raised when a rule of the sandbox becomes stricter."""


def cache_folder() -> Path:
    """Where a user's own cache is: $XDG_CACHE_HOME/graftscope/tried, or below ~/.cache."""
    if os.name == "nt" and "LOCALAPPDATA" in os.environ:
        return Path(os.environ["LOCALAPPDATA"]) / "graftscope" / "tried"
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "graftscope" / "tried"


class KnownModels:
    """What was tried before.

    Args:
        folders: Where it is noted; a folder that cannot be written to is left alone.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        """Make nothing yet."""
        self._folders = tuple(folders)

    def has(self, key: str) -> bool:
        """Tell whether a model was found good."""
        return any((folder / key).is_file() for folder in self._folders)

    def add(self, key: str) -> None:
        """Note that a model was found good."""
        for folder in self._folders:
            with contextlib.suppress(OSError):
                folder.mkdir(parents=True, exist_ok=True)
                (folder / key).touch()


def key_of(parts: Iterable[bytes]) -> str:
    """Return the name of what is tried.

    Args:
        parts: What it is: a manifest, which has the hashes of all files; a graph and its options.
    """
    from importlib.metadata import version

    digest = hashlib.sha256()
    libraries = (f"{name}={version(name)}".encode() for name in ("onnx", _runtime()))
    for part in (RULES.encode(), *libraries, *parts):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()


def _runtime() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        version("onnxruntime-gpu")
    except PackageNotFoundError:
        return "onnxruntime"
    return "onnxruntime-gpu"
