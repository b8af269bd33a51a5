"""Opens the generators that a server serves: what is asked for, and what was registered before."""

import asyncio
from contextlib import suppress
from pathlib import Path

from graftscope.bundle import BundleError, shipped
from graftscope.sandbox import SandboxError
from graftscope.server.engine import (
    Catalogue,
    HeldBundle,
    MemoryBudget,
    ServedBundles,
    SessionPool,
    Turns,
    check_device,
    describe_compiler,
    describe_devices,
    find_bundles,
    open_bundles,
)
from graftscope.server.errors import InvalidInput, NotFound
from graftscope.server.logs import get_logger
from graftscope.server.rpc import registered
from graftscope.server.settings import Settings

_LOOK_S = 10.0
_REGISTERED = "registered"

# What happens to generators is part of the server's own log.
_log = get_logger("server")


def registered_folder(settings: Settings) -> Path:
    """Where bundles are kept that came over the wire."""
    return settings.state / _REGISTERED


def bundle_paths(settings: Settings) -> tuple[Path, ...]:
    """The folder of every bundle that is to be served.

    Raises:
        NotFound: a path holds no bundle.
    """
    paths = tuple(path for folder in settings.bundles for path in find_bundles(folder))
    if not settings.bundles:
        paths = tuple(shipped().values())
        if not paths:
            raise NotFound("no bundle comes with this installation: name a bundle to serve")
    return paths


def open_catalogue(
    settings: Settings, paths: tuple[Path, ...], bundles: ServedBundles, memory: MemoryBudget
) -> Catalogue:
    """Every generator that is served, tried and opened.

    Raises:
        BundleError, SandboxError: the only bundle that was asked for is damaged or refused.
        InvalidInput: a device is not there, or registration without the sandbox.
    """
    check_device(settings.device)
    _log.info("devices", runs=describe_devices(settings.device), compiler=describe_compiler())
    turns = Turns(settings.job_share, settings.workers)
    pool = SessionPool(
        settings.device, settings.sessions, settings.workers, turns=turns, memory=memory
    )
    # One that is all that was asked for is no bundle to leave out.
    is_alone = paths == settings.bundles[:1]
    opened = open_bundles(paths, bundles.open, leave_out=not is_alone)
    if settings.registration:
        if not settings.sandbox:
            raise InvalidInput(
                "registration needs the sandbox, in which models are tried before they are opened",
                field="registration",
            )
        names = {each.manifest.name for each in opened}
        kept = [x for x in registered(registered_folder(settings)) if x.name not in names]
        with suppress(BundleError, SandboxError):  # which the log has told
            opened += open_bundles(kept, bundles.open, leave_out=True)
    bundles.sweep()
    return Catalogue(opened, pool)


async def look_at_sources(bundles: ServedBundles) -> None:
    """Tells in the log where a bundle's files are no longer those that are served."""
    while True:
        await asyncio.sleep(_LOOK_S)
        await asyncio.to_thread(bundles.tell_changes, _tell_change)


def _tell_change(held: HeldBundle) -> None:
    _log.warning(
        "bundle has changed on disk; what was copied at the start is served until the next one",
        model=held.folder.manifest.name,
        digest=held.folder.manifest.digest,
        source=str(held.source),
    )
