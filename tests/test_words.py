"""Numbers in words: as many digits as mean something."""

import math

import pytest

from graftscope.client.words import number, with_error, with_spread


@pytest.mark.parametrize(
    ("value", "error", "told"),
    [
        (3.3612, 0.1387, "3.36 ± 0.14"),
        (41.104, 12.3, "41 ± 12"),
        (0.49671, 0.00096, "0.49671 ± 0.00096"),
        (-0.001, 0.52, "0.00 ± 0.52"),
        (2.5, 0.0, "2.5"),
        (2.5, math.nan, "2.5"),
        (math.nan, 0.1, "-"),
    ],
)
def test_a_number_has_as_many_digits_as_its_error_leaves_it(
    value: float, error: float, told: str
) -> None:
    assert with_error(value, error) == told


def test_a_difference_has_its_sign() -> None:
    assert with_error(0.94, 0.27, "+") == "+0.94 ± 0.27"
    assert with_error(-0.42, 0.29, "+") == "-0.42 ± 0.29"


def test_nothing_is_less_than_nothing() -> None:
    assert number(-0.001) == "0.00"
    assert with_spread(-0.001, 0.02) == "0.00 ± 0.02"


def test_what_is_not_known_has_no_spread() -> None:
    assert with_spread(math.nan, math.nan) == "-"
