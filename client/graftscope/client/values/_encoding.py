"""Images as files: 8 bits a channel, encoded by the server."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, TypeAlias

from graftscope.client.arrays import (
    About,
    Flag,
    Saved,
    Word,
    file_name,
    naming,
    read_about,
    read_bytes,
    read_npz,
    write_bytes,
    write_saved,
)
from graftscope.client.errors import InputError, NotFoundError, OutputError

_COUNT = "count"
"""Where a folder's file says how many images of a kind there are."""
_KEPT = "kept"
"""Where it says which of the optional kinds there are."""


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
        "Have the server encode the images losslessly, with 8 bits per channel, and write each "
        "as a file into the folder --out.",
    ),
]
"""A format of files, or None for arrays."""


class SavedFiles(Saved):
    """A base for results that are files: they are saved in a folder, and come back from it."""

    FILES: ClassVar[Mapping[str, str]] = {}
    """Fields that are lists of files, and what those files' names end in, before the suffix."""
    OPTIONAL: ClassVar[tuple[str, ...]] = ()
    """Those among them that may be None: no files."""
    BESIDE: ClassVar[str]
    """The `.npz` file of the folder that says the rest."""

    encoding: ImageEncoding

    def save(self, path: str | Path) -> list[Path]:  # type: ignore[override]  # names the files
        """Write the images, ``0000.png`` and so on, and an `.npz` file that says the rest.

        Args:
            path: The folder; it is made if it is missing.

        Returns:
            The images' paths.

        Raises:
            OutputError: If a file cannot be written.
        """
        folder = file_name(path)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"folder {str(path)!r} cannot be made: {error.strerror}") from error
        files = {
            folder / f"{at:04d}{ending}.{self.encoding}": content
            for name, ending in self.FILES.items()
            for at, content in enumerate(getattr(self, name) or ())
        }
        for each, content in files.items():
            write_bytes(each, content)
        count = len(getattr(self, next(iter(self.FILES))))
        kept = [name for name in self.OPTIONAL if getattr(self, name) is not None]
        write_saved(self, folder / self.BESIDE, {_COUNT: count, _KEPT: kept})
        return sorted(files)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a folder of `save`.

        A folder of an earlier version holds images alone: latents are none then, and the rest is
        told as not known.

        Args:
            path: The folder.

        Returns:
            The result, equal to the one that was saved.

        Raises:
            NotFoundError: If there is no such folder, or one of its files is missing.
            InputError: If it holds something else, or is damaged.
        """
        folder = file_name(path)
        if not folder.is_dir():
            raise NotFoundError(f"there is no folder {folder}")
        beside = folder / cls.BESIDE
        if not beside.is_file():
            return cls._loaded({}, About(), **cls._found(folder))
        about = read_about(beside)
        about.require(cls.__name__, beside)
        with naming(beside):
            count, encoding = about.told.get(_COUNT, 0), about.told.get("encoding", "")
            files = cls._named(folder, count, encoding, about.told.get(_KEPT, ()))
            return cls._loaded(read_npz(beside), about, **files)

    @classmethod
    def _named(
        cls, folder: Path, count: int, encoding: str, kept: Sequence[str] = ()
    ) -> dict[str, list[bytes]]:
        """Read so many files of each field; of the optional ones, of those that were kept."""
        return {
            name: [read_bytes(folder / f"{at:04d}{ending}.{encoding}") for at in range(count)]
            for name, ending in cls.FILES.items()
            if name not in cls.OPTIONAL or name in kept
        }

    @classmethod
    def _found(cls, folder: Path) -> dict[str, Any]:
        """Read what a folder has, which does not say how many there should be."""
        first = next(iter(cls.FILES.values()))
        for encoding in ImageEncoding:
            count = len([each for each in folder.glob(f"*{first}.{encoding}") if _is_one(each)])
            if count:
                return {"encoding": encoding, **cls._named(folder, count, encoding)}
        raise InputError(f"{folder} holds no images such as 0000{first}.png")


def _is_one(path: Path) -> bool:
    return path.stem.partition("-")[0].isdecimal()
