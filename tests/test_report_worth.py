"""What the report says of a module's worth follows from its numbers and their errors."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from graftscope.client.report._worth import Known, LayerWorth, ModuleWorth
from graftscope.client.report._worth_words import worth_page
from report_toys import make_data, make_section, rendered

NOTHING = Known(math.nan, math.nan)


def module(index: int, against: Known) -> ModuleWorth:
    return ModuleWorth(index, Known(1.234, 0.05), against, Known(0.25, 0.01), Known(0.04, 0.002))


def layer(*against: Known, mixture: Known = NOTHING, one_donor: Known = NOTHING) -> LayerWorth:
    modules = tuple(module(index, each) for index, each in enumerate(against))
    return LayerWorth(modules, 0.21, 7.5, mixture, one_donor, 2000, "celeba", "")


@pytest.mark.parametrize(
    ("value", "stderr", "verdict"),
    [
        (-0.5, 0.1, "more real than a random set"),
        (0.5, 0.1, "less real than a random set"),
        (-0.15, 0.1, "as real as a random set"),
        (math.nan, math.nan, "not known"),
    ],
)
def test_a_verdict_needs_two_standard_errors(value: float, stderr: float, verdict: str) -> None:
    (row,) = worth_page(layer(Known(value, stderr))).rows
    assert row.verdict == verdict


def test_numbers_have_as_many_digits_as_their_errors_deserve() -> None:
    (row,) = worth_page(layer(Known(0.512, 0.034))).rows
    assert (row.distance, row.against) == ("1.234 ± 0.050", "+0.512 ± 0.034")
    assert (row.spill, row.interaction) == ("25.0 ± 1.0 %", "4.00 ± 0.20 %")


def test_donors_are_compared_where_both_are_known() -> None:
    assert worth_page(layer(NOTHING)).mixture == ""
    worse = worth_page(layer(NOTHING, mixture=Known(2.0, 0.1), one_donor=Known(1.0, 0.1)))
    assert "less real than with one donor: 2.00 ± 0.10 against 1.00 ± 0.10" in worse.mixture
    same = worth_page(layer(NOTHING, mixture=Known(1.1, 0.1), one_donor=Known(1.0, 0.1)))
    assert "as real as with one donor" in same.mixture


def test_the_page_has_the_table_and_says_how_to_read_it(tmp_path: Path) -> None:
    worth = layer(Known(-0.5, 0.1), Known(0.0, 0.1), Known(0.4, 0.1))
    section = replace(make_section(), worth=worth)
    words = rendered(make_data(section), tmp_path).words
    assert "What they are worth" in words
    assert "more real than a random set" in words
    assert "Other samples of the generator are at 0.21" in words
    assert "Spill is the share of its change outside its own template" in words


def test_a_report_without_it_says_nothing_of_worth(tmp_path: Path) -> None:
    words = rendered(make_data(make_section()), tmp_path).words
    assert "worth" not in words.lower()
