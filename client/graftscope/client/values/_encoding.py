"""Images as files: 8 bits a channel, encoded by the server."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeAlias

from graftscope.client.arrays import Flag, Word, write_bytes
from graftscope.client.errors import OutputError


class ImageEncoding(StrEnum):
    """A format of image files that keeps every pixel."""

    PNG = "png"
    WEBP = "webp"


WantedEncoding: TypeAlias = Annotated[
    ImageEncoding | str | None,
    Word(ImageEncoding),
    Flag(
        "--encoding",
        "png|webp",
        "Have the server encode the images, 8 bits a channel without loss, and write each as "
        "a file into the folder --out.",
    ),
]
"""A format of files, or None for arrays."""


def save_files(
    folder: str | Path, files: Mapping[str, Sequence[bytes]], encoding: ImageEncoding
) -> list[Path]:
    """Write files into a folder, which is made if it is missing.

    Args:
        folder: Where to.
        files: The files by what their names end in, before the suffix.
        encoding: Their format.

    Raises:
        OutputError: If a file cannot be written.
    """
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"folder {str(folder)!r} cannot be made: {error.strerror}") from error
    paths = []
    for ending, contents in files.items():
        for i, content in enumerate(contents):
            paths.append(target / f"{i:04d}{ending}.{encoding}")
            write_bytes(paths[-1], content)
    return sorted(paths)
