"""Facts about what help() shows of values: types, and not what options are made of."""

import inspect
import pydoc
from dataclasses import fields

import pytest

from graftscope.client import (
    Edit,
    HybridResult,
    InfluenceResult,
    InfluenceTask,
    MagnitudeTask,
    ModulesResult,
    ModulesTask,
    StabilityTask,
)

OPTIONS = ("Annotated[", "Axes(", "Flag(", "Whole(", "numpy.")


@pytest.mark.parametrize(
    "kind",
    [
        Edit,
        HybridResult,
        InfluenceResult,
        InfluenceTask,
        MagnitudeTask,
        ModulesResult,
        ModulesTask,
        StabilityTask,
    ],
)
def test_help_shows_types_and_no_annotations(kind: type) -> None:
    signature = inspect.signature(kind)
    assert list(signature.parameters) == [each.name for each in fields(kind)]
    told = pydoc.render_doc(kind, renderer=pydoc.plaintext)  # type: ignore[attr-defined]
    head, _, method = told.partition("__init__(self")
    for text in (head, method.splitlines()[0]):
        assert not any(
            word in text for word in ("Annotated[", "Flag(", "Axes(", "numpy.", "Whole(")
        )


def test_a_signature_names_what_aliases_stand_for() -> None:
    told = str(inspect.signature(InfluenceTask))
    assert "pairs: 'int' = 1000" in told
    assert "labels: 'NDArray[integer] | None' = None" in told
    assert "fix: 'Mapping[str, ArrayLike] | None' = None" in told
