"""Facts about files whose arrays are not what a verb needs: the line names the file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from _cli_shell import Shell

MAPS = np.ones((6, 8, 8))
NAN = np.full((6, 8, 8), np.nan)


@pytest.mark.parametrize(
    ("arguments", "arrays", "words"),
    [
        (("modules", "--maps"), {"maps": NAN}, "384 of 384 values are NaN or infinite"),
        (("modules", "--maps"), {"maps": -MAPS}, "384 of 384 values are negative"),
        (("modules", "--maps"), {"maps": MAPS[0]}, "they must be (C, H, W) floating-point"),
        (("modules", "--maps"), {"maps": MAPS.astype(int)}, "they must be (C, H, W) floating"),
        (("modules", "--maps"), {"maps": MAPS.astype(str)}, "is not an array of numbers"),
        (("stability", "--maps"), {"maps": -MAPS}, "384 of 384 values are negative"),
        (("find", "--region", "0,0,4,8", "--maps"), {"maps": NAN}, "values are NaN or infinite"),
        (
            ("modules", "--method", "pca", "--maps"),
            {"maps": MAPS, "products": np.ones((6, 5))},
            "they must be (C, C) floating-point numbers",
        ),
        (("influence", "--modules"), {"labels": np.ones(6)}, "they must be (C,) integers"),
        (("hybridize", "--module", "0", "--modules"), {"labels": [-1] * 6}, "labels must hold"),
        (
            ("generate", "--out", "s.npz", "--latents"),
            {"z": np.full((2, 6), np.inf)},
            "values are NaN or infinite",
        ),
        (
            ("generate", "--out", "s.npz", "--latents"),
            {"z": np.full((2, 6), "a")},
            "is not an array of numbers",
        ),
    ],
)
def test_a_bad_array_is_refused_with_its_files_name(
    arguments: tuple[str, ...], arrays: dict[str, Any], words: str, shell: Shell, tmp_path: Path
) -> None:
    path = tmp_path / "given.npz"
    np.savez(path, **arrays)
    code, line = shell.refused(*arguments, path)
    assert code == 4
    assert f"{path}: " in line
    assert words in line


def test_seeds_that_cannot_matter_are_not_said_to_agree(shell: Shell, tmp_path: Path) -> None:
    np.savez(tmp_path / "maps.npz", maps=np.random.default_rng(0).random((6, 9, 9)))
    grouped = ("modules", "--maps", tmp_path / "maps.npz", "--clustering-seed", "0,1,2")
    _, out, err = shell(*grouped, "--method", "agglomerative")
    assert "agree" not in out
    assert "agglomerative draws no random numbers: all seeds give the same result" in err
    assert "3 of 3 seeds agree with the first" in shell(*grouped, "--method", "kmeans")[1]


def test_a_least_purity_that_cannot_act_is_refused(shell: Shell, tmp_path: Path) -> None:
    np.savez(tmp_path / "maps.npz", maps=MAPS)
    given = ("--maps", tmp_path / "maps.npz", "--min-purity", "0.5", "--method", "kmeans")
    code, line = shell.refused("modules", *given)
    assert code == 2
    assert "does nothing with method kmeans" in line
