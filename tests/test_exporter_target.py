"""Facts about where a bundle may be put: an export deletes nothing but bundles."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bundle_toys import write_toy
from graftscope.exporter import TargetExistsError
from graftscope.exporter._folder import require_target


def everything(folder: Path) -> dict[str, bytes | None]:
    """Return what lies below a folder, with files' contents."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def precious(target: Path) -> None:
    target.mkdir()
    (target / "thesis.txt").write_text("data")


def bundle_and_file(target: Path) -> None:
    write_toy(target)
    (target / "thesis.txt").write_text("data")


def bundle_and_folder(target: Path) -> None:
    write_toy(target)
    precious(target / "work")


def bundle_with_a_folder_for_a_card(target: Path) -> None:
    write_toy(target)
    precious(target / "MODEL_CARD.md")


def somebody_elses_manifest(target: Path) -> None:
    precious(target)
    (target / "manifest.json").write_text('{"name": "extension"}')


def file(target: Path) -> None:
    target.write_text("data")


def link_to_a_bundle(target: Path) -> None:
    write_toy(target.parent / "elsewhere")
    target.symlink_to(target.parent / "elsewhere")


def dangling_link(target: Path) -> None:
    target.symlink_to(target.parent / "nowhere")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (precious, r"it has no manifest\.json, but holds 'thesis\.txt'"),
        (bundle_and_file, r"it holds 'thesis\.txt', which is no part of the bundle"),
        (bundle_and_folder, "it holds 'work', which is no part of the bundle"),
        (bundle_with_a_folder_for_a_card, r"it holds 'MODEL_CARD\.md', which is no part"),
        (somebody_elses_manifest, r"its manifest\.json cannot be read \(the bundle has format"),
        (file, "it is a file"),
        (link_to_a_bundle, "it is a symbolic link"),
        (dangling_link, "it is a symbolic link"),
    ],
)
def test_what_is_no_bundle_alone_is_refused_in_one_line_and_kept(
    tmp_path: Path, make: Callable[[Path], None], message: str
) -> None:
    target = tmp_path / "target"
    make(target)
    before = everything(tmp_path)
    with pytest.raises(
        TargetExistsError, match=f"target' is not overwritten: {message}"
    ) as refused:
        require_target(target, overwrite=True)
    assert "\n" not in str(refused.value)
    assert everything(tmp_path) == before


def test_a_bundle_may_be_replaced_also_when_it_is_damaged(tmp_path: Path) -> None:
    target = tmp_path / "target"
    write_toy(target)
    (target / "MODEL_CARD.md").touch()
    (target / "weights.bin").unlink()
    require_target(target, overwrite=True)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_place_where_nothing_is_may_be_used(tmp_path: Path, overwrite: bool) -> None:
    require_target(tmp_path / "target", overwrite=overwrite)
    (tmp_path / "empty").mkdir()
    require_target(tmp_path / "empty", overwrite=overwrite)
