"""The documents' transcripts: what a command is said to answer is what it answers."""

import os
from pathlib import Path

import pytest

from tools.transcripts import (
    PAGES,
    ROOT,
    commands_of,
    differences,
    published_by_others,
    renewed,
    same,
)

LONG = ("docs/bring-your-own.md", "docs/cli.md")


@pytest.mark.parametrize(
    "name", [pytest.param(x, marks=pytest.mark.soak if x in LONG else ()) for x in PAGES]
)
def test_commands_answer_as_the_page_says(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / name).read_text(encoding="utf-8")
    if published_by_others(page) and not os.environ.get("GRAFTSCOPE_GENERATORS"):
        pytest.skip("GRAFTSCOPE_GENERATORS names no folder with the generators of this page")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.syspath_prepend(work)
    wrong = list(differences(page, work))
    assert not wrong, "\n\n".join(str(each) for each in wrong)


def test_numbers_may_differ_a_little_and_words_not_at_all() -> None:
    wanted = ["16 maps of vae@0123456789ab, 12.0 %", "...", "the end"]
    assert same(wanted, ["16 maps of  vae@ba9876543210, 12.1 %", "the end"])
    assert same(wanted, ["16 maps of vae@0123456789ab, 12.0 %", "a", "b", "the end"])
    assert not same(wanted, ["16 maps of vae@0123456789ab, 12.9 %", "the end"])
    assert not same(wanted, ["16 maps of gan@0123456789ab, 12.0 %", "the end"])
    assert not same(wanted, ["16 maps of vae@0123456789ab, 12.0 %", "the end", "more"])
    assert not same([], ["an error"])


def test_a_page_is_renewed_where_it_differs(tmp_path: Path) -> None:
    page = "```console\n$ graftscope models --bundle nowhere\nall is well\n```\n"
    (wrong,) = differences(page, tmp_path)
    (said,) = wrong.found
    assert said.startswith("graftscope: ")
    assert renewed(page, [wrong]) == page.replace("all is well", said)


def test_a_command_goes_on_after_a_backslash() -> None:
    first, second = commands_of("$ a \\\nb\nout\n$ c\n")
    assert (first.line, first.output) == ("a \\\nb", ("out",))
    assert (second.line, second.output) == ("c", ())


def test_a_command_that_never_ends_is_not_run(tmp_path: Path) -> None:
    page = "```console\n$ graftscope serve --metrics 9464\n```\n"
    with pytest.raises(ValueError, match="does not end: show it in a block of sh"):
        list(differences(page, tmp_path))
