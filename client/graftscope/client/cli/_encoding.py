"""The option --encoding: images that the server encodes, written as files into a folder."""

from pathlib import Path
from typing import Annotated

import typer

from graftscope.client._encodings import (
    HybridFiles,
    ImageEncoding,
    SampleFiles,
    checked_encoding,
)
from graftscope.client.cli._session import check_target
from graftscope.client.errors import UsageError

EncodingOption = Annotated[
    str | None,
    typer.Option(
        "--encoding",
        metavar="png|webp",
        help="Have the server encode the images, 8 bits a channel without loss, and write each as "
        "a file into the folder --out.",
    ),
]


def parse_encoding(word: str | None, out: Path | None) -> ImageEncoding | None:
    """Read the option, and check what --out names before any work.

    Raises:
        InputError: If there is no such encoding, or --out ends otherwise than it must.
        UsageError: If files have no folder to go to.
        OutputError: If --out cannot be written.
    """
    if word is None:
        check_target(out, ".npz", ".png")
        return None
    encoding = checked_encoding(word)
    if out is None or out.is_file() or out.suffix in (".npz", ".png"):
        raise UsageError(f"--encoding {encoding} writes several files: name a folder with --out")
    return encoding


def saved(files: SampleFiles | HybridFiles, out: Path | None) -> dict[str, object]:
    """Write files into a folder; gives what a document says of them."""
    assert out is not None
    names = [path.name for path in files.save(out)]
    return {"encoding": files.encoding, "out": out, "files": names}
