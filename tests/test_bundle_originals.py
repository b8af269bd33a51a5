"""Facts about `graftscope.bundle.read_originals`."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from graftscope.bundle import CorruptBundleError, Originals, read_originals, write_originals


def test_originals_survive_the_way_through_a_file(tmp_path: Path) -> None:
    path = tmp_path / "originals.safetensors"
    written = Originals(np.array([0.1, 1 / 3]), np.array([[2.0, 0.5], [0.5, 1.0]]))
    write_originals(path, written)
    mean, covariance = read_originals(path)
    np.testing.assert_array_equal(mean, written.mean)
    np.testing.assert_array_equal(covariance, written.covariance)


def test_float32_is_read_as_float64(tmp_path: Path) -> None:
    path = tmp_path / "originals.safetensors"
    write_originals(path, Originals(np.zeros(2, np.float32), np.eye(2, dtype=np.float32)))
    assert {array.dtype for array in read_originals(path)} == {np.dtype(np.float64)}


@pytest.mark.parametrize(
    "arrays",
    [
        {"mean": np.zeros(2)},
        {"mean": np.zeros(2), "covariance": np.eye(3)},
        {"mean": np.zeros((2, 1)), "covariance": np.eye(2)},
        {"mean": np.zeros(2), "covariance": np.eye(2), "more": np.zeros(1)},
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    path = tmp_path / "originals.safetensors"
    save_file(arrays, path)
    with pytest.raises(CorruptBundleError, match=r"it must hold mean \(Z,\), covariance \(Z, Z\)"):
        read_originals(path)


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "originals.safetensors"
    write_originals(path, Originals(np.array([np.nan, 0.0]), np.eye(2)))
    with pytest.raises(CorruptBundleError, match="not finite"):
        read_originals(path)


def test_a_file_that_is_not_safetensors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "originals.safetensors"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(CorruptBundleError, match="cannot be read"):
        read_originals(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorruptBundleError, match="cannot be read"):
        read_originals(tmp_path / "nowhere.safetensors")
