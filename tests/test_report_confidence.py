"""What a report says of how sure its modules are, and of pairs that differ from map to map."""

from dataclasses import replace

import numpy as np
import pytest

from graftscope.client.report import LayerSection
from graftscope.client.report._confidence import confidence_words, others
from graftscope.client.report._wording import doubts
from report_toys import SPACE, Page, make_data, make_section, rendered

BETWEEN, LEANING = 4, 8
"""Channels of modules 1 and 2 that are not sure: the first is between two modules."""


def unsure(section: LayerSection) -> LayerSection:
    """Twelve channels of three modules, ten of which are sure; as they are numbered in a layer."""
    found = section.probabilities.copy()
    found[BETWEEN] = (0.41, 0.55, 0.04)
    found[LEANING] = (0.1, 0.0, 0.9)
    return replace(section, probabilities=found, channel_indices=np.arange(100, 112))


def raced(section: LayerSection) -> LayerSection:
    pairs = np.full(len(section.maps), 128)
    pairs[BETWEEN] = 320
    return replace(section, pairs_of=pairs, until_sure=True)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    section = raced(unsure(make_section()))
    return rendered(make_data(section), tmp_path_factory.mktemp("report"))


def test_the_page_counts_the_channels_that_are_sure(page: Page) -> None:
    assert "10 of 12 channels are sure of their module" in page.words
    for module, told in enumerate(("4 of 4", "3 of 4", "3 of 4")):
        assert f"Module {module} {told} sure; confidence" in page.words
        assert f"4 of 12 channels, {told[0]} of them sure" in page.words


def test_confidence_stands_beside_purity(page: Page) -> None:
    # Weights are 0.8 of 0.8 + 0.2 + 0.2 for each channel.
    assert "Module 0 4 of 4 sure; confidence 1.00, purity 0.67 on average" in page.words
    assert "Module 1 3 of 4 sure; confidence 0.89, purity 0.67 on average" in page.words


def test_channels_between_modules_are_named_with_those(page: Page) -> None:
    assert "between modules 0 and 1 104" in page.words
    assert (
        "108" not in page.words.partition("between modules 0 and 1")[2].partition("How stable")[0]
    )
    assert others(unsure(make_section())) == {BETWEEN: (0,)}


def test_a_chip_shows_every_channel_and_the_unsure_ones_stand_last_in_a_frame(page: Page) -> None:
    chips = [each for each in page.attributes("span") if "--parts" in (each.get("style") or "")]
    assert len(chips) == 12
    framed = [each["title"] for each in chips if each.get("class") == "unsure"]
    assert framed == [
        "channel 104: module 1 (0.55), module 0 (0.41) and module 2 (0.04)",
        "channel 108: module 2 (0.9) and module 0 (0.1)",
    ]
    assert chips[7]["title"] == framed[0], "the last of module 1"


def test_channels_that_share_their_modules_stand_together() -> None:
    section = unsure(make_section())
    found = section.probabilities.copy()
    found[[1, 5]] = ((0.5, 0.5, 0.0), (0.3, 0.4, 0.3))
    told = confidence_words(replace(section, probabilities=found)).between
    assert [(each.modules, each.channels) for each in told] == [
        ("0 and 1", (101, 104)),
        ("0, 1 and 2", (105,)),
    ]


def test_many_channels_have_chips_without_numbers() -> None:
    assert confidence_words(make_section(channels=160, side=4)).labelled
    assert not confidence_words(make_section(channels=161, side=4)).labelled


def test_pairs_that_differ_are_told_as_a_range(page: Page) -> None:
    for told in (
        "128 to 320 pairs of samples a channel",
        "each is a mean over 128 to 320 pairs a channel",
        "a mean over 128 to 320 pairs a channel may be",
        "128 to 320 pairs a channel, seed 7",
    ):
        assert told in page.words


def test_few_pairs_of_channels_that_stopped_are_doubted_for_their_strength_alone() -> None:
    section = raced(unsure(make_section()))
    weak = replace(section, individual_stderr=section.individual * 0.2)
    (doubt,) = doubts(make_data(weak))
    assert doubt == (
        "128 to 320 pairs a channel are few: in the coarse layer the standard error of a channel's "
        f"individual influence is 20{SPACE}% in the median. Each channel stopped as soon as its "
        "module was sure, which takes fewer pairs than its strength does. With --pairs 1000 every "
        "channel has as many, and the error is smaller."
    )
    assert doubts(make_data(section)) == ()


def test_a_layer_whose_labels_are_mostly_unsure_is_doubted() -> None:
    section = make_section()
    found = section.probabilities.copy()
    found[:7] = 1 / 3
    (doubt,) = doubts(make_data(replace(section, probabilities=found)))
    assert "In the coarse layer only 5 of 12 channels would surely be in the same module" in doubt
