"""CIFAR-10's own archive, read without running what its pickles might say.

The archive holds pickled dictionaries. Only the few names that a pickled numpy array needs can
be looked up while they are read; any other is refused.
"""

import pickle
import tarfile
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from graftscope.training.errors import DataError

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
