"""Which Graftscope this is, and whether it gets on with another one."""

from functools import cache

METADATA_KEY = "graftscope-version"
"""Key of the metadata under which a server tells its version."""

UNKNOWN = "unknown"


class VersionWarning(UserWarning):
    """Client and server differ in their major or minor version; calls may still succeed."""


@cache
def client_version() -> str:
    """Tell the version of the installed package, or `UNKNOWN` where none is installed."""
    # Slow to import, and not needed before the first call.
    from importlib import metadata

    try:
        return metadata.version("graftscope")
    except metadata.PackageNotFoundError:
        return UNKNOWN


def differs(mine: str, theirs: str) -> bool:
    """Whether two versions differ in major or minor; unknown ones never do."""
    series = [version.split(".")[:2] for version in (mine, theirs)]
    return UNKNOWN not in (mine, theirs) and series[0] != series[1]
