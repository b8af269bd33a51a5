"""The six roots share one native namespace package, and each portion is typed."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOTS = {
    "client": ("client",),
    "explorer": ("explorer",),
    "exporter": ("bundle", "exporter", "graph", "sandbox"),
    "proto": ("codec", "inference", "v1"),
    "server": ("server",),
    "training": ("training",),
}


@pytest.mark.parametrize("root", ROOTS)
def test_no_root_claims_the_namespace_for_itself(root: str) -> None:
    package = ROOT / root / "graftscope"
    assert package.is_dir()
    assert not (package / "__init__.py").exists()


@pytest.mark.parametrize("root", ROOTS)
def test_every_portion_is_there_and_typed(root: str) -> None:
    portions = sorted(
        path.name
        for path in (ROOT / root / "graftscope").iterdir()
        if path.is_dir() and path.name != "__pycache__"
    )
    assert portions == list(ROOTS[root])
    for portion in portions:
        assert (ROOT / root / "graftscope" / portion / "py.typed").is_file()


def test_no_portion_is_in_two_roots() -> None:
    portions = [portion for each in ROOTS.values() for portion in each]
    assert len(portions) == len(set(portions))
