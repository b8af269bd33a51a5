"""The documentation site, which `make docs` builds: what it lists, and what its check finds."""

import re
from importlib import import_module
from pathlib import Path

import pytest

from graftscope.client.cli._commands import command_of
from tools.documents.check import faults
from tools.documents.names import described, names_of
from tools.documents.references import followed
from tools.documents.verbs import all_verbs, section

REFERENCE = Path(__file__).parents[1] / "docs/reference"
_NAMES = re.compile(
    r"^```\{names\} (?P<package>\S+)\n(:from: (?P<parts>.*)\n)?(:but: (?P<but>.*)\n)?```$", re.M
)

WHOLE = (
    '<p id="here">text <a href="other.html#there">on</a> <a href="https://example.org">out</a></p>'
)


@pytest.mark.parametrize("package", ["client", "explorer", "bundle", "exporter"])
def test_every_public_name_is_described_on_one_page(package: str) -> None:
    whole = f"graftscope.{package}"
    listed = [
        name
        for page in sorted(REFERENCE.glob("*.md"))
        for found in _NAMES.finditer(page.read_text(encoding="utf-8"))
        if found["package"] == whole
        for name in names_of(whole, (found["parts"] or "").split(), (found["but"] or "").split())
    ]
    assert sorted(listed) == sorted(import_module(whole).__all__)
    assert all(described(whole, name).strip() for name in listed)


def test_every_verb_is_listed_with_each_of_its_options() -> None:
    for name, verb in all_verbs():
        told = section(name, verb)
        assert told.startswith(f"## {name}\n")
        assert verb.example in told
        command = command_of(name.rsplit(maxsplit=1)[-1], verb)
        shown = {each for option in command.params for each in option.opts if each[0] == "-"}
        assert {each for each in shown if f"`{each}" not in told} == set()


def test_a_site_whose_links_lead_somewhere_has_no_faults(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(WHOLE)
    (tmp_path / "other.html").write_text('<p id="there"><a href="#there">me</a></p>')
    assert list(faults(tmp_path)) == []


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ('<a href="nowhere.html">x</a>', "links to nowhere.html, which is not there"),
        ('<a href="#nowhere">x</a>', "links to #nowhere, which is not there"),
        ('<a href="other.html#here">x</a>', "links to other.html#here, which is not there"),
        ('<script src="https://cdn.example/x.js"></script>', "loads https://cdn.example/x.js from"),
        ('<link rel="stylesheet" href="//cdn.example/x.css">', "loads //cdn.example/x.css from"),
        ('<img src="none.png" alt="a face">', "loads none.png, which is not there"),
        ('<img src="data:image/png;base64,AA==">', "has no text for those who cannot see it"),
    ],
)
def test_what_is_wrong_with_a_page_is_told(tmp_path: Path, written: str, told: str) -> None:
    (tmp_path / "page.html").write_text(WHOLE + written)
    (tmp_path / "other.html").write_text('<p id="there"></p>')
    (found,) = faults(tmp_path)
    assert found.startswith("page.html: ")
    assert told in found


def test_a_style_that_loads_a_font_from_elsewhere_is_told(tmp_path: Path) -> None:
    (tmp_path / "site.css").write_text("@font-face { src: url('https://fonts.example/a.woff2'); }")
    (found,) = faults(tmp_path)
    assert "https://fonts.example/a.woff2" in found


def test_links_to_files_of_the_repository_lead_to_their_pages() -> None:
    def shown(text: str) -> str:
        return followed(text, "docs/wire.md", "docs/wire.md")

    assert shown("[a](../SECURITY.md#b)") == "[a](project/security.md#b)"
    assert shown("[a](cli.md#b)") == "[a](cli.md#b)"
    assert shown("[a](../proto/graftscope/v1)") == "a (`proto/graftscope/v1`)"
    assert (
        shown("![a](images/b.png) [c](https://d.example)")
        == "![a](images/b.png) [c](https://d.example)"
    )
    inside = followed("[a](docs/cli.md#b)", "CONTRIBUTING.md", "docs/project/contributing.md")
    assert inside == "[a](../cli.md#b)"
