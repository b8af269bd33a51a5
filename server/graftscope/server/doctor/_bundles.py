"""The bundles that are to be served: whole, of different names, and those that a server serves."""

from collections.abc import Iterator
from pathlib import Path

from graftscope.bundle import BundleError, BundleFolder, read_bundle, shipped
from graftscope.server.doctor._case import Case
from graftscope.server.doctor._finding import Finding, ok, problem, warning
from graftscope.server.engine import find_bundles, served_digests
from graftscope.server.errors import NotFound
from graftscope.server.settings import Settings

_COPIES = "models"


def bundles(case: Case) -> Iterator[Finding]:
    """That every file is as it was exported, and as it is served now."""
    try:
        paths = _paths(case.settings)
    except NotFound as error:
        yield problem(str(error), "--bundles PATH of a bundle, or of a folder of bundles")
        return
    whole: dict[str, BundleFolder] = {}
    bad = False
    for path in paths:
        try:
            folder = read_bundle(path)
        except BundleError as error:
            bad = True
            yield problem(
                str(error), "copy or export the bundle again, or leave it out of --bundles"
            )
            continue
        name = folder.manifest.name
        if name in whole:
            bad = True
            yield problem(
                f"{str(whole[name].path)!r} and {str(path)!r} are both named {name!r}",
                "export one of them again with --name",
            )
        whole[name] = folder
    yield from _changed(whole, served_digests(case.settings.state / _COPIES))
    if not bad:
        size = sum(_bytes(folder) for folder in whole.values())
        yield ok(f"{', '.join(whole)}: intact, {size / 2**20:.1f} MiB")


def _paths(settings: Settings) -> list[Path]:
    if settings.bundles:
        return [path for folder in settings.bundles for path in find_bundles(folder)]
    if found := list(shipped().values()):
        return found
    raise NotFound("no bundle comes with this installation")


def _changed(whole: dict[str, BundleFolder], served: dict[str, str]) -> Iterator[Finding]:
    for name, folder in whole.items():
        digest = folder.manifest.digest
        if served.get(name, digest) != digest:
            yield warning(
                f"{name!r} was changed: its digest is {digest[:12]}, and the running server"
                f" serves {served[name][:12]}",
                "restart the server to serve the new files",
            )


def _bytes(folder: BundleFolder) -> int:
    return sum(folder.file(each.name).stat().st_size for each in folder.manifest.files)
