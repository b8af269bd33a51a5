"""What is concluded of modules' faithfulness follows from distances and their errors."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from graftscope.client.reproduce._faithful import (
    FoundLayer,
    answers_by_level,
    faithfulness_claims,
    faithfulness_numbers,
)

KINDS = ("module", "module", "count", "count", "floor", "pasted", "blended")


def layer(
    level: str, modules: tuple[float, float], against: tuple[float, float], error: float = 0.1
) -> FoundLayer:
    distances = np.array([[*modules, 1.5, 1.5, 0.2, 8.2, 9.0]])
    nothing = np.zeros_like(distances)
    names = ("kernel", "precision", "recall", "density", "coverage")
    faithful: Any = SimpleNamespace(
        kinds=KINDS,
        references=("samples",),
        against=("count",),
        module=np.array([0, 1, 0, 1, -1, -1, -1]),
        channels=np.array([4, 4, 4, 4, 0, 0, 0]),
        frechet=distances,
        frechet_stderr=nothing,
        **{f"{name}{end}": nothing for name in names for end in ("", "_stderr")},
        verdict=np.array([[against]]),
        verdict_stderr=np.full((1, 1, 2), error),
        decoding=None,
        response=None,
        features="toy",
        pairs=64,
        images=0,
        warning="",
    )
    nobody: Any = None
    return FoundLayer("toy", level, nobody, nobody, faithful)


def test_a_layer_is_answered_by_the_mean_of_its_modules_and_their_errors() -> None:
    found = [
        layer("coarse", (1, 1), (-0.5, -0.3)),
        layer("intermediate", (1, 1), (0.5, 0.3)),
        layer("fine", (1, 1), (-0.15, 0.15)),
        layer("image", (1, 1), (-0.5, np.nan)),
    ]
    answers = {"coarse": "confirmed", "intermediate": "refuted", "fine": "undecided"}
    assert answers_by_level(found) == {"toy": {**answers, "image": "confirmed"}}
    assert [each.word for each in found[:3]] == [
        "2 of 2 nearer, 0 farther",
        "0 of 2 nearer, 2 farther",
        "0 of 2 nearer, 0 farther",
    ]


@pytest.mark.parametrize(
    ("modules", "against", "verdicts"),
    [
        ((1.0, 4.1), (-0.5, -0.5), ("agrees", "agrees")),
        ((1.0, 4.3), (0.5, 0.5), ("differs", "differs")),
    ],
)
def test_claims_are_about_the_intermediate_level(
    modules: tuple[float, float], against: tuple[float, float], verdicts: tuple[str, str]
) -> None:
    claims = faithfulness_claims([layer("intermediate", modules, against)])
    assert tuple(each.verdict for each in claims) == verdicts


def test_another_level_alone_agrees_in_part() -> None:
    claims = faithfulness_claims(
        [layer("coarse", (1, 1), (-0.5, -0.5)), layer("intermediate", (5, 5), (0.5, 0.5))]
    )
    assert [each.verdict for each in claims] == ["partly", "partly"]
    assert "toy coarse 10 %, 10 %" in claims[0].measured


def test_numbers_hold_what_random_sets_are_compared_by() -> None:
    numbers = faithfulness_numbers(layer("coarse", (1, 1), (-0.5, -0.3)))
    np.testing.assert_array_equal(numbers["against_random_sets"], [-0.5, -0.3])
