"""What encodings of real images look like: the Gaussian behind originals of kind `encoded`."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from graftscope.bundle.errors import CorruptBundleError


class Originals(NamedTuple):
    """Mean and covariance of the posterior means of the training images (section 4).

    Attributes:
        mean: (Z,), float64.
        covariance: (Z, Z), float64, symmetric; it may be singular.
    """

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]


def read_originals(path: str | Path) -> Originals:
    """Read an originals file.

    Args:
        path: The Safetensors file that a manifest's `encoder.originals` names.

    Returns:
        Mean and covariance.

    Raises:
        CorruptBundleError: If it is no Safetensors file, or the arrays do not fit.
    """
    # Reading a manifest needs no more than the base install, which has no safetensors.
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CorruptBundleError(f"{path} cannot be read: {error}") from error
    shapes = {name: array.shape for name, array in arrays.items()}
    size = shapes.get("mean", ())
    if len(size) != 1 or shapes != {"mean": size, "covariance": size * 2}:
        raise CorruptBundleError(
            f"{path} holds {shapes}; it must hold mean (Z,), covariance (Z, Z)"
        )
    mean, covariance = (arrays[name].astype(np.float64) for name in ("mean", "covariance"))
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise CorruptBundleError(f"{path} holds numbers that are not finite")
    return Originals(mean, covariance)


def write_originals(path: Path, originals: Originals) -> None:
    """Write an originals file.

    Args:
        path: The Safetensors file.
        originals: Mean (Z,) and covariance (Z, Z).
    """
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(each) for name, each in originals._asdict().items()}
    # The library itself would write a file that its owner alone may read.
    path.write_bytes(save(arrays))
