"""Bundles as a server opens them: copied where nobody changes them, and tried in a child first.

It must not know jobs or gRPC.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from graftscope.bundle import BundleFolder
from graftscope.sandbox import KnownModels, Limits, Sandbox
from graftscope.server.engine._copies import BundleCopies, HeldBundle
from graftscope.server.logs import get_logger

_COPIES: Final = "models"
_TRIED: Final = "tried"

_log = get_logger("engine")


class ServedBundles:
    """The bundles that a server holds open.

    Args:
        state: the state folder; copies lie in it, and notes on what was tried.
        limits: what a bundle may take while it is tried.
    """

    def __init__(self, state: Path, limits: Limits) -> None:
        self._copies = BundleCopies(state / _COPIES)
        self.sandbox = Sandbox(limits, KnownModels([state / _TRIED]))
        self._told: set[str] = set()

    def open(self, source: Path) -> BundleFolder:
        """The private copy of a bundle that is whole and was found good.

        Args:
            source: the bundle's folder.

        Raises:
            BundleError: it is no whole bundle.
            ModelRefusedError: it is not to be opened here.
            ServerError: it cannot be copied.
        """
        held = self._copies.hold(source)
        try:
            self.sandbox.require_bundle(held.folder)
        except BaseException:
            self._copies.release(held)
            raise
        return held.folder

    def stop_watching(self, digest: str) -> None:
        """Say no more of a bundle's source; the copy stays, for jobs that still run on it."""
        self._told |= {x.key for x in self._copies.held if x.folder.manifest.digest == digest}

    def sweep(self) -> None:
        """Remove the copies that no server of this state folder uses."""
        self._copies.sweep()

    def close(self) -> None:
        """Let go of all; the copies stay for the next start."""
        self._copies.close()

    def tell_changes(self, tell: Callable[[HeldBundle], None]) -> None:
        """Look at the sources, and tell once of each that has changed since it was copied."""
        for held in self._copies.held:
            if held.key not in self._told and held.source_changed:
                self._told.add(held.key)
                tell(held)
