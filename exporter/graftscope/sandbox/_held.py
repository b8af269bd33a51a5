"""What files take on the disk: what limits scale with."""

from collections.abc import Iterable
from pathlib import Path


def held_bytes(files: Iterable[Path]) -> int:
    """What files hold, without holes that take no place on the disk; 0 for one that is missing."""
    held = 0
    for told in (path.stat() for path in files if path.is_file()):
        blocks = getattr(told, "st_blocks", None)
        held += told.st_size if blocks is None else min(told.st_size, 512 * blocks)
    return held
