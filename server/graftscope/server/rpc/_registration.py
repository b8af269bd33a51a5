"""Models that come and go while a server runs: sent as artifacts, tried, kept for later starts."""

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

from graftscope.bundle import (
    MANIFEST_FILE,
    MANIFEST_LIMIT_BYTES,
    BundleError,
    manifest_from_json,
)
from graftscope.sandbox import SandboxError
from graftscope.server.access import caller
from graftscope.server.engine import Catalogue, Generator, ServedBundles
from graftscope.server.errors import (
    InvalidInput,
    ModelRefused,
    NameTaken,
    NotFound,
    RegistrationOff,
    StorageFull,
)
from graftscope.server.jobs import ArtifactStore
from graftscope.server.logs import get_logger
from graftscope.v1 import bundle_pb2

_CHUNK_BYTES: Final = 2**20
_FIELD: Final = "manifest_json"

_log = get_logger("rpc")


class Registration:
    """What adds models to a catalogue, and takes them away.

    Args:
        catalogue: what is served.
        bundles: opens a bundle once it is whole.
        artifacts: where its files are.
        folder: where it is kept, so that it is served again at the next start.
        allowed: whether the server takes models at all.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        bundles: ServedBundles,
        artifacts: ArtifactStore,
        folder: Path,
        *,
        allowed: bool,
    ) -> None:
        self._catalogue = catalogue
        self._bundles = bundles
        self._artifacts = artifacts
        self._folder = folder
        self._allowed = allowed
        self._one_at_a_time = asyncio.Lock()

    async def register(self, manifest_json: str) -> Generator:
        """Serve a bundle from now on; one that is served already stays as it is.

        Args:
            manifest_json: the text of its manifest.

        Raises:
            RegistrationOff: the server takes no models.
            ModelRefused: it is damaged, or not to be opened here.
            NameTaken: another model has its name.
            NotFound: a file was not stored before.
        """
        self._require_allowed()
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._register, manifest_json)

    async def delete(self, model: str) -> None:
        """Serve a model no longer; jobs that run on it go on, those that wait fail.

        Raises:
            RegistrationOff: the server takes no models.
            NotFound: there is no such model.
            InvalidInput: it was not registered, but given at the start.
        """
        self._require_allowed()
        async with self._one_at_a_time:
            manifest = self._catalogue.find(model).manifest
            name = manifest.name
            kept = self._folder / name
            if not kept.is_dir():
                raise InvalidInput(
                    f"model {name!r} was given to the server at its start; only a model that was"
                    " registered can be removed",
                    field="name",
                )
            self._bundles.stop_watching(manifest.digest)
            self._catalogue.remove(name)
            await asyncio.to_thread(shutil.rmtree, kept, ignore_errors=True)
            _log.info("model removed", model=name, digest=manifest.digest, **_who())

    def _require_allowed(self) -> None:
        if not self._allowed:
            raise RegistrationOff(
                "this server takes no models over the wire; start it with --allow-registration"
            )

    def _register(self, manifest_json: str) -> Generator:
        with _refusals():
            if len(manifest_json) > MANIFEST_LIMIT_BYTES:
                raise InvalidInput(
                    f"{_FIELD} has {len(manifest_json)} characters; at most"
                    f" {MANIFEST_LIMIT_BYTES} are allowed",
                    field=_FIELD,
                )
            manifest = manifest_from_json(manifest_json)
            served = self._catalogue.generators.get(manifest.name)
            if served is not None:
                return _same(served, manifest)
            kept = self._folder / manifest.name
            self._keep(manifest, manifest_json, kept)
            try:
                added = self._catalogue.add(self._bundles.open(kept))
            except BaseException:
                shutil.rmtree(kept, ignore_errors=True)
                self._bundles.sweep()
                raise
            _log.info("model added", model=manifest.name, digest=manifest.digest, **_who())
            return added

    def _keep(self, manifest: bundle_pb2.Bundle, text: str, kept: Path) -> None:
        incoming = self._folder / f".incoming-{uuid4().hex}"
        try:
            incoming.mkdir(parents=True)
            (incoming / MANIFEST_FILE).write_bytes(text.encode())
            for file in manifest.files:
                self._write(file, incoming / file.name)
            shutil.rmtree(kept, ignore_errors=True)
            incoming.rename(kept)
        except OSError as error:
            raise StorageFull(
                f"model {manifest.name!r} cannot be stored: {error.strerror}"
            ) from error
        finally:
            shutil.rmtree(incoming, ignore_errors=True)

    def _write(self, file: bundle_pb2.File, target: Path) -> None:
        with (
            self._artifacts.open(file.sha256, f"file {file.name!r}") as read,
            target.open("xb") as written,
        ):
            for offset in range(0, read.size, _CHUNK_BYTES):
                written.write(read.read(offset, _CHUNK_BYTES))


def _who() -> dict[str, str]:
    """Who calls, for the log; their address where nobody is asked."""
    return {"owner": caller().owner, "address": caller().address}


def registered(folder: Path) -> tuple[Path, ...]:
    """The bundles that were registered before."""
    found = sorted(folder.glob(f"*/{MANIFEST_FILE}"))
    return tuple(path.parent for path in found if not path.parent.name.startswith("."))


def _same(served: Generator, manifest: bundle_pb2.Bundle) -> Generator:
    if served.manifest.digest == manifest.digest:
        return served
    raise NameTaken(
        f"a model {manifest.name!r} is served already, with digest {served.manifest.digest};"
        " remove it first, or register this one under another name"
    )


@contextmanager
def _refusals() -> Iterator[None]:
    """What other rooms refuse, as the server's own errors."""
    try:
        yield
    except (BundleError, SandboxError) as error:
        reason = str(getattr(error, "reason", ""))
        raise ModelRefused(str(error), reason=reason, field=_FIELD) from error
    except NotFound as error:
        raise NotFound(f"{error}; store every file with PutArtifact first", field=_FIELD) from error
