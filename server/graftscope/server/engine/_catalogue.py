"""The generators that a server offers, by name and by digest.

It must not know jobs or gRPC.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from graftscope.bundle import MANIFEST_FILE, BundleError, BundleFolder, read_bundle
from graftscope.sandbox import SandboxError
from graftscope.server.engine._generator import Generator
from graftscope.server.engine._sessions import SessionPool
from graftscope.server.errors import Corrupt, InvalidInput, NotFound
from graftscope.server.logs import get_logger

_log = get_logger("engine")


class Catalogue:
    """Generators by name.

    Args:
        folders: bundles; two of one name are refused.
        pool: where their sessions are kept.

    Attributes:
        turns: who goes first on the device that all of them share.
        pool: as given.

    Raises:
        InvalidInput: two bundles have one name.
    """

    def __init__(self, folders: Iterable[BundleFolder], pool: SessionPool) -> None:
        self.turns = pool.turns
        self.pool = pool
        self._generators: dict[str, Generator] = {}
        for folder in folders:
            name = folder.manifest.name
            if name in self._generators:
                raise InvalidInput(
                    f"two bundles are named {name!r}; export one of them again with --name"
                )
            self._generators[name] = Generator(folder, pool)

    def add(self, folder: BundleFolder) -> Generator:
        """Serve one more bundle from now on; its name must be free."""
        generator = Generator(folder, self.pool)
        self._generators = {**self._generators, folder.manifest.name: generator}
        return generator

    def remove(self, name: str) -> None:
        """Serve a model no longer; what runs on it keeps it."""
        self._generators = {key: x for key, x in self._generators.items() if key != name}

    @property
    def generators(self) -> Mapping[str, Generator]:
        """All of them, by name."""
        return self._generators

    def find(self, model: str) -> Generator:
        """The generator of models/NAME or models/NAME@DIGEST.

        Raises:
            InvalidInput: the name is malformed.
            NotFound: there is no such model, or it has another digest.
        """
        collection, _, rest = model.partition("/")
        name, at, digest = rest.partition("@")
        if collection != "models" or not name or (at and not digest):
            raise InvalidInput(
                f"model {model!r} is malformed; models/NAME or models/NAME@DIGEST is needed",
                field="model",
            )
        if name not in self._generators:
            known = ", ".join(sorted(self._generators)) or "none"
            raise NotFound(f"model {name!r} is not served here; there is: {known}", field="model")
        generator = self._generators[name]
        if digest and generator.manifest.digest != digest:
            raise NotFound(
                f"model {name!r} has digest {generator.manifest.digest} here, not {digest}",
                field="model",
            )
        return generator

    def by_digest(self, digest: str) -> Generator:
        """The generator of this digest.

        Raises:
            NotFound: none is served any more.
        """
        for generator in self._generators.values():
            if generator.manifest.digest == digest:
                return generator
        raise NotFound(f"no model of digest {digest} is served here any more", field="model")


def find_bundles(folder: Path) -> list[Path]:
    """The bundles in a folder: the folder itself, or those right below it.

    Raises:
        NotFound: the folder is missing or holds none.
    """
    if not folder.is_dir():
        raise NotFound(f"folder {str(folder)!r} does not exist", field="bundles")
    if (folder / MANIFEST_FILE).is_file():
        return [folder]
    found = sorted(path.parent for path in folder.glob(f"*/{MANIFEST_FILE}"))
    if not found:
        raise NotFound(
            f"folder {str(folder)!r} holds no bundle (a folder with {MANIFEST_FILE}); "
            "make one with `graftscope export`",
            field="bundles",
        )
    return found


def open_bundles(
    paths: Iterable[Path],
    open_one: Callable[[Path], BundleFolder] = read_bundle,
    *,
    leave_out: bool = False,
) -> list[BundleFolder]:
    """Reads and verifies bundles.

    Args:
        paths: their folders.
        open_one: opens one.
        leave_out: whether bad ones are told in the log and left out, as long as any is good.

    Raises:
        BundleError: one is bad, or all are where they are left out; names it.
        SandboxError: likewise, of one that is not to be opened here.
    """
    opened: list[BundleFolder] = []
    bad: list[Exception] = []
    for path in paths:
        try:
            opened.append(open_one(path))
        except (BundleError, SandboxError, Corrupt) as error:
            if not leave_out:
                raise
            bad.append(error)
            reason = getattr(error, "reason", "BUNDLE_DAMAGED")
            _log.error("bundle left out", bundle=str(path), reason=str(reason), why=str(error))
    if bad and not opened:
        raise bad[0]
    return opened
