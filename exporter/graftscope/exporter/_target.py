"""Which places a bundle may be put at, so that an export never deletes what it did not write."""

from pathlib import Path
from typing import Final

from graftscope.bundle import MANIFEST_FILE, BundleError, manifest_from_json
from graftscope.exporter.errors import TargetExistsError

CARD_FILE: Final = "MODEL_CARD.md"
"""Part of a bundle, but not listed in its manifest."""


def require_target(target: Path, *, overwrite: bool) -> None:
    """Refuse a target that must not be put there or replaced.

    An empty folder may be used; only a folder that is a bundle, and holds nothing else, may be
    replaced.

    Args:
        target: The bundle's folder; usually not there yet.
        overwrite: Whether a bundle that is there already may be replaced.

    Raises:
        TargetExistsError: If it is there and may not be replaced; it names what is in the way.
    """
    if not (target.exists() or target.is_symlink()) or _is_empty(target):
        return
    if not overwrite:
        raise TargetExistsError(
            f"{str(target)!r} exists already; choose another folder, or say to overwrite it"
        )
    if obstacle := _obstacle(target):
        raise TargetExistsError(
            f"{str(target)!r} is not overwritten: {obstacle}; only a bundle's own folder may be"
        )


def _is_empty(target: Path) -> bool:
    return target.is_dir() and not target.is_symlink() and not any(target.iterdir())


def _obstacle(target: Path) -> str | None:
    """Say why a target may not be replaced; None where it may."""
    if target.is_symlink():
        return "it is a symbolic link"
    if not target.is_dir():
        return "it is a file"
    if not (target / MANIFEST_FILE).is_file():
        return f"it has no {MANIFEST_FILE}, but holds {min(target.iterdir()).name!r}"
    return _foreign(target)


def _foreign(folder: Path) -> str | None:
    try:
        manifest = manifest_from_json((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
    except (BundleError, UnicodeDecodeError) as error:
        return f"its {MANIFEST_FILE} cannot be read ({error})"
    own = {MANIFEST_FILE, CARD_FILE, *(file.name for file in manifest.files)}
    for path in sorted(folder.iterdir()):
        if path.name not in own or path.is_symlink() or not path.is_file():
            return f"it holds {path.name!r}, which is no part of the bundle"
    return None
