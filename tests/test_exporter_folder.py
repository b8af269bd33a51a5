"""Facts about folders that appear whole or not at all."""

import subprocess
import sys
from pathlib import Path

import pytest

from bundle_toys import write_toy
from graftscope.bundle import read_bundle
from graftscope.exporter import TargetExistsError, _folder
from graftscope.exporter._folder import exchange, new_folder


def fill(target: Path, text: str, *, overwrite: bool = False) -> None:
    with new_folder(target, overwrite=overwrite) as folder:
        (folder / "file").write_text(text)
        assert folder.parent == target.parent


def test_the_folder_appears_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "above" / "target"
    with new_folder(target, overwrite=False) as folder:
        (folder / "file").touch()
        assert not target.exists()
    assert [path.name for path in target.iterdir()] == ["file"]
    assert list(target.parent.iterdir()) == [target]


def test_others_may_read_it(tmp_path: Path) -> None:
    fill(tmp_path / "target", "new")
    assert (tmp_path / "target").stat().st_mode & 0o777 == 0o755


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "target", overwrite=False):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_leaves_no_target(tmp_path: Path) -> None:
    code = (
        "import os, sys, pathlib; from graftscope.exporter._folder import new_folder\n"
        "with new_folder(pathlib.Path(sys.argv[1]), overwrite=False) as folder:\n"
        "    (folder / 'file').write_text('half'); os._exit(9)"
    )
    target = tmp_path / "target"
    environment = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code, str(target)], env=environment, check=False)
    assert done.returncode == 9
    assert not target.exists()
    assert all(path.name.startswith(".target.") for path in tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["folder", "file", "dangling link"])
def test_whatever_is_there_is_not_overwritten(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "target"
    if kind == "folder":
        target.mkdir()
        (target / "thesis.txt").touch()
    elif kind == "file":
        target.touch()
    else:
        target.symlink_to(tmp_path / "nowhere")
    with pytest.raises(TargetExistsError, match="target' exists already"):
        fill(target, "new")


def test_on_request_an_old_bundle_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "target"
    write_toy(target)
    (target / "MODEL_CARD.md").touch()
    fill(target, "new", overwrite=True)
    assert [path.name for path in target.iterdir()] == ["file"]
    assert (target / "file").read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_an_old_bundle_is_replaced_where_folders_cannot_be_exchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_folder, "exchange", lambda first, second: False)
    target = tmp_path / "target"
    write_toy(target)
    fill(target, "new", overwrite=True)
    assert (target / "file").read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_an_error_leaves_the_old_bundle(tmp_path: Path) -> None:
    target = tmp_path / "target"
    manifest = write_toy(target)
    with pytest.raises(ZeroDivisionError), new_folder(target, overwrite=True):
        raise ZeroDivisionError
    assert read_bundle(target).manifest == manifest
    assert list(tmp_path.iterdir()) == [target]


def test_what_somebody_else_put_into_the_old_bundle_meanwhile_is_left_alone(
    tmp_path: Path,
) -> None:
    target = tmp_path / "target"
    write_toy(target)
    with (
        pytest.raises(TargetExistsError, match=r"holds 'thesis\.txt'"),
        new_folder(target, overwrite=True),
    ):
        (target / "thesis.txt").write_text("data")
    assert (target / "thesis.txt").read_text() == "data"
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_that_somebody_else_made_meanwhile_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "target"
    with pytest.raises(TargetExistsError), new_folder(target, overwrite=True):
        target.write_text("data")
    assert target.read_text() == "data"
    assert list(tmp_path.iterdir()) == [target]


def replace_by_a_file(folder: Path) -> None:
    folder.rmdir()
    folder.write_text("what an exchange brought")
    raise ZeroDivisionError


def test_leftovers_go_also_when_they_are_files(tmp_path: Path) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        new_folder(tmp_path / "target", overwrite=True) as folder,
    ):
        replace_by_a_file(folder)
    assert list(tmp_path.iterdir()) == []


def write(file: Path) -> None:
    file.parent.mkdir()
    file.touch()


def test_a_target_that_somebody_else_made_meanwhile_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "target"
    thesis = target / "thesis.txt"
    with pytest.raises(TargetExistsError), new_folder(target, overwrite=False):
        write(thesis)
    assert list(tmp_path.iterdir()) == [target]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    fill(target, "new")
    assert [path.name for path in tmp_path.iterdir()] == ["target"]
    assert any(target.iterdir())


def test_two_folders_are_exchanged_or_left_alone(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        (folder / folder.name).touch()
    if exchange(first, second):
        assert (first / "second").exists()
        assert (second / "first").exists()
    else:
        assert (first / "first").exists()


def test_a_folder_is_not_exchanged_with_nothing(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    assert not exchange(tmp_path / "first", tmp_path / "nowhere")
    assert (tmp_path / "first").exists()
