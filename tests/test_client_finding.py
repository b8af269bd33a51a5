"""Facts about channels that act inside a region: scores, errors, and what is found."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from graftscope.client import Source, find_channels, read_mask, rectangle_region
from graftscope.client.arrays import read_source
from graftscope.client.errors import InputError, NotFoundError
from graftscope.client.finding import region_at

LEFT = rectangle_region(0, 0, 4, 4, image_height=4, image_width=8)


def halves(*pairs: tuple[float, float]) -> np.ndarray:
    """(C, 4, 8) maps, each of one value in its left half and of one in its right half."""
    return np.array([np.repeat([[left] * 4 + [right] * 4], 4, axis=0) for left, right in pairs])


def test_a_score_is_the_mean_inside_over_the_mean_outside() -> None:
    found = find_channels(halves((3.0, 1.0), (1.0, 1.0), (1.0, 4.0)), LEFT)
    np.testing.assert_allclose(found.contrast.score, [3.0, 1.0, 0.25])
    assert found.channels == (0,)
    assert found.ranked == (0, 1, 2)
    assert found.labels.tolist() == [0, -1, -1]


def test_a_map_that_is_zero_outside_ranks_first_and_a_flat_one_last() -> None:
    found = find_channels(halves((0.0, 0.0), (5.0, 1.0), (0.1, 0.0)), LEFT)
    np.testing.assert_array_equal(found.contrast.score, [np.nan, 5.0, np.inf])
    assert found.ranked == (2, 1, 0)
    assert found.channels == (2, 1)


def test_equal_scores_rank_by_what_is_inside() -> None:
    assert find_channels(halves((1.0, 0.0), (2.0, 0.0), (0.5, 0.0)), LEFT).channels == (1, 0, 2)


def test_top_takes_the_highest_from_ratio_1_on_and_at_least_raises_it() -> None:
    maps = halves((1.4, 1.0), (3.0, 1.0), (1.2, 1.0), (0.9, 1.0))
    assert find_channels(maps, LEFT).channels == (1,)
    assert find_channels(maps, LEFT, top=2).channels == (1, 0)
    assert find_channels(maps, LEFT, top=9).channels == (1, 0, 2)
    assert find_channels(maps, LEFT, top=9, at_least=1.3).channels == (1, 0)
    assert find_channels(maps, LEFT, at_least=0.5).channels == (1, 0, 2)


def test_a_channel_within_two_standard_errors_is_not_found() -> None:
    maps = halves((3.0, 1.0), (3.0, 1.0))
    stderr = halves((0.5, 0.5), (0.4, 0.5))  # the difference of 2 has an error of at most their sum
    found = find_channels(maps, LEFT, stderr=stderr)
    assert found.contrast.certain.tolist() == [False, True]
    assert found.channels == (1,)


def test_errors_inside_and_outside_are_means_of_pixels_errors_and_of_modules_their_sums() -> None:
    maps, stderr = halves((3.0, 1.0), (5.0, 1.0)), halves((0.5, 0.25), (0.4, 0.125))
    found = find_channels(maps, LEFT, stderr=stderr)
    np.testing.assert_allclose(found.contrast.inside_stderr, [0.5, 0.4])
    np.testing.assert_allclose(found.contrast.outside_stderr, [0.25, 0.125])
    modules = found.modules(np.array([1, 1]))
    np.testing.assert_allclose(modules.inside_stderr, [0.0, 0.9])
    np.testing.assert_allclose(modules.outside_stderr, [0.0, 0.375])
    unknown = find_channels(maps, LEFT)
    assert np.isnan(unknown.contrast.inside_stderr).all()
    assert np.isnan(unknown.modules(np.array([0, 1])).outside_stderr).all()


def test_the_region_is_averaged_over_the_areas_of_the_maps_pixels() -> None:
    region = rectangle_region(0, 0, 6, 3, image_height=8, image_width=8)
    np.testing.assert_allclose(
        region_at(region, 4, 4),
        np.array([[2, 1, 0, 0]] * 3 + [[0] * 4]) / 2,
    )
    np.testing.assert_allclose(region_at(region, 16, 16), region.repeat(2, 0).repeat(2, 1))
    assert region_at(region, 3, 3).mean() == pytest.approx(region.mean())


def test_modules_are_ranked_by_the_sum_of_their_channels_maps() -> None:
    found = find_channels(halves((3.0, 1.0), (1.0, 1.0), (0.0, 4.0), (9.0, 9.0)), LEFT)
    modules = found.modules(np.array([0, 0, 2, -1]))
    np.testing.assert_array_equal(modules.score, [2.0, np.nan, 0.0])
    assert modules.ranked().tolist() == [0, 2, 1]
    with pytest.raises(InputError, match="labels of 3 channels do not belong to maps of 4"):
        found.modules(np.array([0, 0, 0]))


def test_what_was_found_is_written_as_one_module(tmp_path: Path) -> None:
    found = find_channels(halves((3.0, 0.0), (1.0, 1.0), (4.0, 1.0)), LEFT)
    found.save(tmp_path / "found.npz")
    with np.load(tmp_path / "found.npz") as file:
        assert file["labels"].tolist() == [0, -1, 0]
        assert file["weights"].tolist() == [[1.0], [0.0], [1.0]]
        assert file["templates"].shape == (1, 4, 8)
        assert np.linalg.norm(file["templates"]) == pytest.approx(1.0)
        np.testing.assert_array_equal(file["region"], LEFT)
        np.testing.assert_array_equal(file["scores"], [np.inf, 1.0, 4.0])
    assert read_source(tmp_path / "found.npz") is None
    source = Source("toy", "d" * 64, "conv1", "operations/1")
    type(found)(found.labels, found.contrast, found.region, found.maps, source).save(
        tmp_path / "named.npz"
    )
    assert read_source(tmp_path / "named.npz") == source


@pytest.mark.parametrize(
    ("region", "said"),
    [
        (np.zeros((4, 8)), "has no inside"),
        (np.ones((4, 8), bool), "is the whole image"),
        (np.full((4, 8), 2.0), "from 0"),
        (np.full((4, 8), np.nan), "NaN"),
        (np.eye(8), "not of the image, whose maps are 4 x 8"),
        (np.eye(4, 7), "make it as large as the image"),
        (np.eye(2, 4), "make it as large as the image"),
        (np.eye(5, 9), "a region of 5 x 9 pixels"),
        (np.ones(8), r"must be \(H, W\)"),
        (np.full((4, 8), "x"), r"must be \(H, W\)"),
    ],
)
def test_a_region_that_compares_nothing_is_refused(region: np.ndarray, said: str) -> None:
    with pytest.raises(InputError, match=said):
        find_channels(halves((3.0, 1.0)), region)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((0, 0, 5, 4), "0,0,5,4 reaches beyond the image of 4 x 8 pixels"),
        ((0, 5, 4, 4), "reaches beyond"),
        ((0, 0, 0, 4), "height 0"),
        ((-1, 0, 2, 4), "top -1"),
    ],
)
def test_a_rectangle_outside_the_image_is_refused(
    values: tuple[int, int, int, int], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        rectangle_region(*values, image_height=4, image_width=8)


@pytest.mark.parametrize("chosen", [{"top": 0}, {"at_least": 0.0}, {"at_least": np.nan}])
def test_a_choice_that_is_not_allowed_is_refused(chosen: dict[str, float]) -> None:
    with pytest.raises(InputError, match="is not allowed"):
        find_channels(halves((3.0, 1.0)), LEFT, **chosen)  # type: ignore[arg-type]


def test_errors_of_other_maps_are_refused() -> None:
    with pytest.raises(InputError, match="do not belong to maps"):
        find_channels(halves((3.0, 1.0)), LEFT, stderr=halves((1.0, 1.0), (1.0, 1.0)))


def test_a_mask_is_white_inside_and_nothing_where_it_is_transparent(tmp_path: Path) -> None:
    pixels = np.zeros((2, 3, 4), np.uint8)
    pixels[0] = 255
    pixels[:, 2, :] = (255, 255, 255, 0)
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    np.testing.assert_allclose(read_mask(tmp_path / "mask.png"), [[1, 1, 0], [0, 0, 0]])
    Image.fromarray(np.array([[0, 51], [255, 0]], np.uint8)).save(tmp_path / "grey.png")
    np.testing.assert_allclose(read_mask(tmp_path / "grey.png"), [[0.0, 0.2], [1.0, 0.0]])


def test_a_mask_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mask.png").write_text("no picture")
    with pytest.raises(InputError, match=r"mask\.png"):
        read_mask(tmp_path / "mask.png")
    with pytest.raises(NotFoundError, match=r"none\.png"):
        read_mask(tmp_path / "none.png")
