"""The place of results and checkpoints: bytes go there and come back, and are removed."""

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from graftscope.server.blobs import Blobs, folder_of, open_blobs
from graftscope.server.doctor._case import Case
from graftscope.server.doctor._finding import Finding, NothingToCheck, ok, problem
from graftscope.server.doctor._installing import install
from graftscope.server.errors import InvalidInput, StorageFailed

_BYTES = b"graftscope doctor\n" * 64
_FOR_OBJECTS = (
    "check its address and name, and that the server's key may put, get, list and delete there"
)


def storage(case: Case) -> Iterator[Finding]:
    """That results can be written, read and removed where they are kept."""
    settings = case.settings
    place = settings.storage or settings.state
    folder = folder_of(place)
    if folder is not None and not folder.exists():
        raise NothingToCheck(f"{str(folder)!r} does not exist yet: the server makes it")
    room = f"doctor-{uuid4().hex}"
    began_s = time.perf_counter()
    try:
        blobs = open_blobs(place, room)
        came_back = _there_and_back(blobs)
    except InvalidInput as error:
        yield problem(
            str(error).partition(": pip")[0],
            install("objectstore") if "obstore" in str(error) else "correct --storage",
        )
        return
    except StorageFailed as error:
        yield problem(
            f"{error}{_why(error)}",
            "check that its folder can be written to, and has space" if folder else _FOR_OBJECTS,
        )
        return
    finally:
        if folder is not None:
            shutil.rmtree(folder / room, ignore_errors=True)
    if not came_back:
        yield problem(
            "what is read back there differs from what was written", "use another --storage"
        )
        return
    where = "the state folder" if isinstance(place, Path) else place.partition("://")[0]
    took_s = time.perf_counter() - began_s
    yield ok(f"{where}: written, read back and removed in {1e3 * took_s:.0f} ms")


def _why(error: StorageFailed) -> str:
    """What an object store said, which clients are not told."""
    said = str(error.__cause__).splitlines() if "object store" in str(error) else []
    # A query may be a signature.
    return ": " + re.sub(r"[?]\S*", "", said[0]) if said else ""


def _there_and_back(blobs: Blobs) -> bool:
    """Whether bytes that are written are read back; they are gone afterwards."""
    name = uuid4().hex
    with blobs.incoming() as incoming:
        incoming.write(_BYTES)
        incoming.sync()
        incoming.keep(name)
    try:
        with blobs.reader(name) as blob:
            came_back = blob.read(0, blob.info.size)
    finally:
        blobs.remove(name)
    return came_back == _BYTES and blobs.info(name) is None
