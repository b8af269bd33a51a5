"""The bundles that come with the package."""

from pathlib import Path

from graftscope.bundle._manifest import MANIFEST_FILE
from graftscope.bundle.errors import BundleNotFoundError

_SHIPPED = Path(__file__).parent / "shipped"


def shipped() -> dict[str, Path]:
    """Return the folders of the bundles that come with the package, by name."""
    manifests = sorted(_SHIPPED.glob(f"*/{MANIFEST_FILE}"))
    return {manifest.parent.name: manifest.parent for manifest in manifests}


def find_shipped(name: str) -> Path:
    """Return the folder of a bundle that comes with the package.

    Args:
        name: The bundle's name.

    Raises:
        BundleNotFoundError: If there is none of that name; the message lists the names.
    """
    known = shipped()
    if name not in known:
        names = ", ".join(known) or "none"
        raise BundleNotFoundError(f"no bundle {name!r} comes with the package; there are: {names}")
    return known[name]
