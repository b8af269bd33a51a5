"""What few latents and few channels reach, on a server, in generators that are known."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graftscope.client import Client, ReachResult, ReachTask
from graftscope.client.errors import GraftscopeError, InputError
from graftscope.client.values import LatentPairs
from reach_toys import (
    AREAS,
    PAIRS,
    QUARTERS,
    SEED,
    WIDTH,
    Doubles,
    expected,
    hybrid_of,
    latents,
    painter_bundle,
)

# Images are float32.
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def painter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return painter_bundle(tmp_path_factory.mktemp("painter"))


@pytest.fixture(scope="module")
def client(painter: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with Client(bundles=[painter], state=tmp_path_factory.mktemp("state"), workers=2) as opened:
        yield opened


@pytest.fixture(scope="module")
def of_region(client: Client) -> ReachResult:
    return client.reach("painter", region=QUARTERS[2], pairs=PAIRS, seed=SEED)


def in_quarter_2(first: Doubles, second: Doubles, hybrid: Doubles) -> Doubles:
    return np.abs(hybrid - first)[:, 2] / WIDTH


def test_one_channel_reaches_its_area_whole_and_latents_only_together(
    of_region: ReachResult,
) -> None:
    of_latents, of_channels = of_region.share
    assert of_region.kinds == ("latents", "fc")
    assert of_region.order[1, 0] == 2
    assert of_channels.tolist() == [1.0] * AREAS
    assert of_region.share_stderr[1].tolist() == [0.0] * AREAS
    assert of_latents[3] == 1.0
    assert (of_latents[:3] < 0.9).all()
    assert of_region.by_count[0] > 5 * of_region.by_count_stderr[0] > 0


def test_order_and_shares_are_those_that_numpy_finds(of_region: ReachResult) -> None:
    for row, kind in enumerate(of_region.kinds):
        order, shares, reachable = expected(kind, in_quarter_2)
        # Once a channel has reached everything, the others add nothing, and rounding decides.
        assert (
            of_region.order[row, : 4 if kind == "latents" else 1].tolist()
            == order[: 4 if kind == "latents" else 1]
        )
        np.testing.assert_allclose(of_region.share[row], shares, atol=TOLERANCE)
        assert of_region.reachable[row] == pytest.approx(reachable, abs=TOLERANCE)


def test_the_change_spills_nowhere_from_one_channel_and_everywhere_from_all(
    of_region: ReachResult,
) -> None:
    assert of_region.spill is not None
    assert of_region.whole_spill is not None
    first, second, _ = hybrid_of("fc", [], range(PAIRS // 2, PAIRS))
    change = np.abs(second - first).sum(axis=0)
    assert of_region.spill[1, 0] == pytest.approx(0.0, abs=TOLERANCE)
    outside = 1 - change[2] / change.sum()
    np.testing.assert_allclose(of_region.whole_spill, outside, atol=TOLERANCE)
    np.testing.assert_allclose(of_region.spill[:, -1], outside, atol=TOLERANCE)


def test_in_random_order_a_channel_reaches_as_often_as_it_is_among_the_first(
    of_region: ReachResult,
) -> None:
    # Each order reaches nothing before channel 2 and everything after: multiples of 1/4.
    steps = of_region.random[1] * 4
    np.testing.assert_allclose(steps, np.rint(steps), atol=TOLERANCE)
    assert (np.diff(steps) >= 0).all()
    assert of_region.random[:, -1].tolist() == [1.0, 1.0]


def test_pairs_that_are_given_are_divided_like_those_that_are_drawn(
    client: Client, of_region: ReachResult
) -> None:
    first, second = latents(range(PAIRS))
    given = LatentPairs({"z": first}, {"z": second})
    result = client.reach("painter", ["fc"], region=QUARTERS[2], originals=given)
    assert (result.ranking_pairs, result.held_out_pairs) == (PAIRS // 2, PAIRS // 2)
    assert result.originals == "latents"
    np.testing.assert_allclose(result.share, of_region.share, atol=TOLERANCE)


def test_a_dry_run_says_how_many_hybrids_there_are(client: Client) -> None:
    task = ReachTask("painter", region=QUARTERS[0], units=2, pairs=10)
    # 4 + 3 sets rank, on 5 pairs; 2 of the best, 2 in each of 4 orders and all measure on 5.
    assert client.estimate(task).hybrids == 2 * (7 * 5 + (2 + 4 * 2 + 1) * 5)


def test_a_result_is_the_same_when_it_is_saved_and_read(
    of_region: ReachResult, tmp_path: Path
) -> None:
    of_region.save(tmp_path / "reach.npz")
    assert ReachResult.load(tmp_path / "reach.npz") == of_region


def test_units_are_named_by_what_they_are(of_region: ReachResult) -> None:
    assert of_region.unit_name("latents", 3) == "z 3"
    assert of_region.unit_name("fc", 3) == "channel 3"
    with pytest.raises(InputError, match="unit 4 is beyond the latents"):
        of_region.unit_name("latents", 4)


def test_the_table_has_a_row_for_every_unit(of_region: ReachResult) -> None:
    table = of_region.to_pandas()
    assert table["kind"].tolist() == ["latents"] * AREAS + ["fc"] * AREAS
    assert table["units"].tolist() == [1, 2, 3, 4] * 2
    np.testing.assert_array_equal(table["share"], of_region.share.ravel())


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({}, "nothing is to be changed: give one of"),
        ({"region": QUARTERS[0], "attribute": "x"}, "region and attribute is to be changed"),
        ({"region": QUARTERS[0], "classifier": "celeba"}, "leave out `classifier`"),
        ({"region": np.zeros((8, 8))}, "something must be inside"),
        ({"region": 2 * QUARTERS[0]}, "values from 0 to 2"),
        ({"region": np.ones((8, 9))}, r"shape \[8, 9\]"),
        ({"region": QUARTERS[0], "pairs": 3}, "pairs 3 is not allowed"),
        ({"region": QUARTERS[0], "units": 0}, "units 0 is not allowed"),
        ({"region": QUARTERS[0], "layers": ["nose"]}, "layer 'nose' is not in model"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    client: Client, asked: dict[str, Any], told: str
) -> None:
    with pytest.raises(GraftscopeError, match=told):
        client.reach("painter", **asked)
