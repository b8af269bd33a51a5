"""Where images come from: a folder, a zip, an .npz, CIFAR-10's archive, a Hugging Face data set.

Each kind becomes one `ImageSource`: names known at once, images read one after the other. It
neither decodes nor judges images; what cannot be read is passed on with its reason.
"""

import os
import pickle
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import IO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from graftscope.training._decoding import EncodedImage, UnreadableImage
from graftscope.training._huggingface import open_huggingface
from graftscope.training.archives import METHODS, check_inflation
from graftscope.training.errors import DataError, DataNotFoundError, EmptyDataError

_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp"})
_HUGGINGFACE_PREFIX = "hf:"
# No honest photograph is larger; a crafted archive could otherwise fill the memory.
_MAX_IMAGE_BYTES = 128 * 2**20
# RuntimeError is an encrypted member's; the last two are those of a header that claims more than
# there can be.
_UNREADABLE_NPZ = (
    ValueError,
    TypeError,
    OSError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    RuntimeError,
    MemoryError,
    OverflowError,
)


class SourceKind(Enum):
    """The kinds of places that images are read from."""

    FOLDER = "folder"
    IMAGE = "image"
    ZIP = "zip"
    NPZ = "npz"
    CIFAR10 = "cifar10-archive"
    HUGGINGFACE = "hugging-face"


@dataclass(frozen=True)
class ImageSource:
    """Images by name.

    Attributes:
        kind: The kind of place.
        name: What the place is called, without the folders above it.
        names: The images' names in a fixed order, with `/` between folders.
        read: Starts reading the images in the order of `names`.
    """

    kind: SourceKind
    name: str
    names: tuple[str, ...]
    read: Callable[[], Iterator[EncodedImage]]


def open_source(data: str) -> ImageSource:
    """Find out what `data` is and list its images.

    Args:
        data: A path, or `hf:DATASET_ID`.

    Raises:
        DataNotFoundError: If nothing is there.
        EmptyDataError: If there is no image in it.
        DataError: If it is none of the kinds, or a damaged one.
    """
    if data.startswith(_HUGGINGFACE_PREFIX):
        dataset_id = data.removeprefix(_HUGGINGFACE_PREFIX)
        # A local copy is called by its folder, one on the Hub by its whole name.
        name = Path(dataset_id).name if Path(dataset_id).exists() else dataset_id
        source = ImageSource(SourceKind.HUGGINGFACE, name, *open_huggingface(dataset_id))
    else:
        source = _open_path(Path(data))
    if not source.names:
        raise EmptyDataError(
            f"{data!r} holds no images; it needs files that end in {', '.join(sorted(_SUFFIXES))}"
        )
    return source


def _open_path(path: Path) -> ImageSource:
    if not os.path.exists(path):
        raise DataNotFoundError(f"{str(path)!r} does not exist")
    if path.is_dir():
        return _open_folder(path)
    if _is_image(PurePosixPath(path.name)):
        return _open_image(path)
    for suffixes, kind, opener in (
        ((".zip",), SourceKind.ZIP, _open_zip),
        ((".npz",), SourceKind.NPZ, _open_npz),
        ((".tar.gz", ".tgz"), SourceKind.CIFAR10, _open_cifar10),
    ):
        if path.name.lower().endswith(suffixes):
            return ImageSource(kind, path.name, *opener(path))
    raise DataError(
        f"{path.name!r} is not a source of images; allowed are an image, a folder, a .zip or "
        ".npz file, CIFAR-10's cifar-10-python.tar.gz, and hf:DATASET_ID"
    )


def _is_image(name: PurePosixPath) -> bool:
    hidden = any(part.startswith((".", "__MACOSX")) for part in name.parts)
    return name.suffix.lower() in _SUFFIXES and not hidden


def _open_folder(folder: Path) -> ImageSource:
    paths = (path.relative_to(folder) for path in folder.rglob("*"))
    names = tuple(sorted(path.as_posix() for path in paths if _is_image(PurePosixPath(path))))

    def read() -> Iterator[EncodedImage]:
        for name in names:
            try:
                yield (folder / name).read_bytes()
            except OSError as error:
                yield UnreadableImage(str(error.strerror))

    return ImageSource(SourceKind.FOLDER, folder.resolve().name, names, read)


def _open_image(path: Path) -> ImageSource:
    def read() -> Iterator[EncodedImage]:
        try:
            yield path.read_bytes()
        except OSError as error:
            yield UnreadableImage(str(error.strerror))

    return ImageSource(SourceKind.IMAGE, path.name, (path.name,), read)


_Opened: TypeAlias = tuple[tuple[str, ...], Callable[[], Iterator[EncodedImage]]]


def _open_zip(path: Path) -> _Opened:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(f"{path.name!r} cannot be read as a zip file: {error}") from error
    names = tuple(sorted(name for name in members if _is_image(PurePosixPath(name))))

    def read() -> Iterator[EncodedImage]:
        with zipfile.ZipFile(path) as archive:
            for name in names:
                yield _read_member(archive, name)

    return names, read


def _read_member(archive: zipfile.ZipFile, name: str) -> EncodedImage:
    size = archive.getinfo(name).file_size
    if size > _MAX_IMAGE_BYTES:
        return UnreadableImage(f"{size} bytes are more than the {_MAX_IMAGE_BYTES} allowed")
    if archive.getinfo(name).compress_type not in METHODS:
        return UnreadableImage("it is neither stored nor deflated in the zip file")
    try:
        return archive.read(name)
    # An encrypted member raises RuntimeError; an unknown compression NotImplementedError.
    except (zipfile.BadZipFile, OSError, EOFError, RuntimeError, zlib.error) as error:
        return UnreadableImage(str(error))


def _open_npz(path: Path) -> _Opened:
    try:
        check_inflation(path)
        with np.load(path, allow_pickle=False) as arrays:
            stacks = {name: _as_stack(name, arrays[name]) for name in sorted(arrays.files)}
    except DataError:
        raise
    except _UNREADABLE_NPZ as error:
        raise DataError(f"{path.name!r} cannot be read as an .npz of arrays: {error}") from error
    return _named_stacks(stacks)


def _as_stack(name: str, array: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Return images as (N, H, W, 3), whichever of the allowed forms they have."""
    if array.dtype == np.uint8 and array.ndim == 4 and 3 in (array.shape[1], array.shape[3]):
        stack = array.astype(np.uint8, copy=False)
        return stack if array.shape[3] == 3 else stack.transpose(0, 2, 3, 1)
    raise DataError(
        f"array {name!r} is {array.dtype} {array.shape}; images must be uint8 of shape "
        "(N, H, W, 3) or (N, 3, H, W)"
    )


def _open_cifar10(path: Path) -> _Opened:
    return _named_stacks(read_cifar10(path))


def _named_stacks(stacks: dict[str, NDArray[np.uint8]]) -> _Opened:
    """Name the images of several arrays by array and position, counted from 1."""
    names = tuple(
        f"{stack}/{position:06d}"
        for stack, images in stacks.items()
        for position in range(1, len(images) + 1)
    )
    return names, lambda: (image for images in stacks.values() for image in images)


_BATCHES = {
    "train": tuple(f"data_batch_{i}" for i in range(1, 6)),
    "test": ("test_batch",),
}
_COLOURS, _SIZE = 3, 32
# Modules are named as in the archive, which an old numpy wrote, and as a new one would.
_ALLOWED = frozenset(
    {
        ("_codecs", "encode"),
        ("numpy", "dtype"),
        ("numpy", "ndarray"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy.core.multiarray", "_reconstruct"),
    }
)


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not allowed")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def read_cifar10(path: Path) -> dict[str, NDArray[np.uint8]]:
    """Read `cifar-10-python.tar.gz`.

    Returns:
        The images (N, 32, 32, 3) of `train` and of `test`, in the archive's order.

    Raises:
        DataError: If the archive is damaged, lacks a batch, or holds anything but arrays.
    """
    try:
        with tarfile.open(path, "r:gz") as archive:
            batches = _read_batches(archive)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(f"{path.name!r} cannot be read as a tar.gz archive: {error}") from error
    missing = [name for names in _BATCHES.values() for name in names if name not in batches]
    if missing:
        raise DataError(f"{path.name!r} is not CIFAR-10's archive; it lacks {', '.join(missing)}")
    return {
        split: np.concatenate([batches[name] for name in names])
        for split, names in _BATCHES.items()
    }


def _read_batches(archive: tarfile.TarFile) -> dict[str, NDArray[np.uint8]]:
    wanted = {name for names in _BATCHES.values() for name in names}
    batches = {}
    for member in archive:
        name = Path(member.name).name
        stream = archive.extractfile(member) if name in wanted else None
        if stream is not None:
            batches[name] = _read_batch(name, stream)
    return batches


def _read_batch(name: str, stream: IO[bytes]) -> NDArray[np.uint8]:
    try:
        batch = _ArrayUnpickler(stream, encoding="bytes").load()
        flat = batch.get(b"data", batch.get("data"))
        # Rows of colour planes: (N, 3*32*32) -> (N, 32, 32, 3).
        planes = np.asarray(flat, dtype=np.uint8).reshape(-1, _COLOURS, _SIZE, _SIZE)
    except (pickle.UnpicklingError, AttributeError, TypeError, ValueError, EOFError) as error:
        raise DataError(f"batch {name!r} of CIFAR-10 cannot be read: {error}") from error
    return planes.transpose(0, 2, 3, 1)
