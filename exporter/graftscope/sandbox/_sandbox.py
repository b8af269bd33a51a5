"""What the rooms ask for: that a file or a bundle be tried, unless it was."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from graftscope.bundle import MANIFEST_FILE, BundleFolder, shipped
from graftscope.sandbox._held import held_bytes
from graftscope.sandbox._known import KnownModels, cache_folder, key_of
from graftscope.sandbox._limits import Limits, limits_from_environment
from graftscope.sandbox._messages import Request
from graftscope.sandbox._parent import as_given, try_in_child
from graftscope.sandbox.errors import ModelRefusedError


class Sandbox:
    """Has models tried before they are opened.

    Args:
        limits: What they may take; by default those that the environment sets.
        known: Where it is noted which are good; by default in the user's cache.
    """

    def __init__(self, limits: Limits | None = None, known: KnownModels | None = None) -> None:
        """Start nothing yet."""
        self._limits = limits_from_environment() if limits is None else limits
        self._known = KnownModels([cache_folder()]) if known is None else known

    def require_file(
        self,
        path: Path,
        shapes: Mapping[str, Sequence[int]] | None = None,
        *,
        called: str = "",
    ) -> None:
        """Have an ONNX file tried.

        Args:
            path: The file; weights in external data lie below its folder.
            shapes: Of inputs whose shape it leaves open, behind the batch, by name.
            called: How messages name it; empty takes the path.

        Raises:
            ModelRefusedError: If it is not to be opened; it names the file.
            SandboxUnavailableError: If no child can be started.
        """
        if not self._limits.sandbox:
            return
        whole = {name: [1, *extents] for name, extents in (shapes or {}).items()}
        with path.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").digest()
        key = key_of((b"file", sha256, json.dumps(whole, sort_keys=True).encode()))
        if self._known.has(key):
            return
        size = held_bytes([path])
        request = Request(str(path), False, size, as_given(self._limits), whole)
        self._try(request, called or f"{str(path)!r}")
        self._known.add(key)

    def require_bundle(self, bundle: BundleFolder) -> None:
        """Have a bundle tried whose files are those that its manifest lists.

        A bundle that comes with the package is as good as the package.

        Args:
            bundle: From `read_bundle`.

        Raises:
            ModelRefusedError: If it is not to be opened; it names the bundle.
            SandboxUnavailableError: If no child can be started.
        """
        if not self._limits.sandbox:
            return
        text = (bundle.path / MANIFEST_FILE).read_bytes()
        if _is_shipped(bundle, text):
            return
        key = key_of((b"bundle", text))
        if self._known.has(key):
            return
        size = held_bytes(bundle.file(each.name) for each in bundle.manifest.files)
        request = Request(str(bundle.path), True, size, as_given(self._limits))
        self._try(request, f"bundle {bundle.manifest.name!r}")
        self._known.add(key)

    def _try(self, request: Request, called: str) -> None:
        try:
            try_in_child(request, self._limits)
        except ModelRefusedError as error:
            raise ModelRefusedError(
                f"{called} is not opened here: {error}", error.reason
            ) from error


def _is_shipped(bundle: BundleFolder, text: bytes) -> bool:
    folder = shipped().get(bundle.manifest.name)
    return folder is not None and (folder / MANIFEST_FILE).read_bytes() == text
