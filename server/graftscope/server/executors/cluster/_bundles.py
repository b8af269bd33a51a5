"""Bundles on a node: fetched once, under their digest, and verified before they are opened.

It must not import Ray.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from graftscope.bundle import MANIFEST_FILE, BundleError, BundleFolder, read_bundle
from graftscope.server.errors import Corrupt
from graftscope.server.logs import get_logger

Files = Mapping[str, NDArray[np.uint8]]
"""A bundle's files, by name."""

_log = get_logger("cluster")


def files_of(folder: BundleFolder) -> Files:
    """A bundle's files, with its manifest."""
    names = [MANIFEST_FILE, *(file.name for file in folder.manifest.files)]
    return {name: np.fromfile(folder.file(name), dtype=np.uint8) for name in names}


def default_cache() -> Path:
    """Where a node keeps bundles: $XDG_CACHE_HOME/graftscope/bundles, or below ~/.cache."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "graftscope" / "bundles"


class BundleCache:
    """The bundles of a node, which all of its processes share.

    Args:
        folder: where they lie; it is made, for this user alone.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder

    def open(self, digest: str, fetch: Callable[[], Files]) -> BundleFolder:
        """The bundle of a digest, whole.

        Args:
            digest: the bundle's.
            fetch: gets its files; called only where they are not there.

        Raises:
            Corrupt: what was fetched is not the bundle of this digest.
        """
        place = self._folder / digest
        with FileLock(self._folder / f"{digest}.lock"):
            try:
                return _whole(place, digest)
            except (BundleError, Corrupt):
                shutil.rmtree(place, ignore_errors=True)
            self._write(place, fetch())
            _log.info("bundle fetched", digest=digest)
            return _whole(place, digest)

    def _write(self, place: Path, files: Files) -> None:
        """Under its name once all of it is there."""
        with tempfile.TemporaryDirectory(dir=self._folder) as new:
            for name, content in files.items():
                content.tofile(Path(new) / name)
            os.rename(new, place)
            Path(new).mkdir()  # What is left to be removed.


def _whole(place: Path, digest: str) -> BundleFolder:
    folder = read_bundle(place)
    if folder.manifest.digest != digest:
        raise Corrupt(f"the bundle in {str(place)!r} has digest {folder.manifest.digest}")
    return folder
