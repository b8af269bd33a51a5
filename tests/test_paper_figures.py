"""The paper's figures: what is given is what is drawn, and all of it can be read in print."""

import subprocess
import sys
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from PIL import Image

from figure_toys import (
    FIGURES,
    ROUNDING,
    SMALLEST,
    bars,
    every_figure,
    extent,
    figure_of,
    of_beta,
    of_clusters,
    of_examples,
    of_layer,
    of_magnitude,
    of_methods,
    of_originals,
    of_purity,
    of_reach,
    of_seams,
    of_sensitivity,
    of_table,
    overlap,
    painted,
    plots,
    scales,
    texts,
    words,
)
from graftscope.client.figures import module_color, paper
from graftscope.client.figures.paper._dark import GROUND, darken
from graftscope.client.figures.paper._marks import over_repeats


@every_figure
def test_a_figure_is_as_wide_as_one_column_or_two(name: str) -> None:
    assert figure_of(name).get_figwidth() in (3.35, 6.9)


@every_figure
def test_no_text_is_smaller_than_six_and_a_half_points(name: str) -> None:
    sizes = {text.get_text(): float(text.get_fontsize()) for text in words(figure_of(name))}
    assert {text: size for text, size in sizes.items() if size < SMALLEST} == {}


@every_figure
def test_no_text_leaves_the_page(name: str) -> None:
    figure = figure_of(name)
    width, height = figure.get_size_inches()
    for text in words(figure):
        box = extent(figure, text)
        assert box.x0 >= -ROUNDING, text
        assert box.y0 >= -ROUNDING, text
        assert box.x1 <= width + ROUNDING, text
        assert box.y1 <= height + ROUNDING, text


@every_figure
def test_no_two_words_overlap(name: str) -> None:
    figure = figure_of(name)
    placed = [(text.get_text(), extent(figure, text)) for text in words(figure)]
    clashes = [(a, b) for (a, one), (b, two) in combinations(placed, 2) if overlap(one, two)]
    assert clashes == []


@every_figure
def test_no_word_lies_on_a_picture_or_a_plot(name: str) -> None:
    figure = figure_of(name)
    pictures = [extent(figure, image) for image in figure.axes[0].images]
    areas = [Bbox(np.asarray(axes.bbox.get_points()) / figure.dpi) for axes in plots(figure)]
    for text in words(figure):
        box = extent(figure, text)
        assert not any(overlap(box, other) for other in (*pictures, *areas)), text


@every_figure
def test_numbers_at_ticks_stand_beside_the_name_of_their_axis(name: str) -> None:
    by_row: dict[float, list[Axes]] = {}
    by_column: dict[float, list[Axes]] = {}
    for axes in plots(figure_of(name)):
        place = axes.get_position()
        by_row.setdefault(round(place.y0, 4), []).append(axes)
        by_column.setdefault(round(place.x0, 4), []).append(axes)
    for row in by_row.values():
        assert any(axes.get_ylabel() for axes in row) or name == "originals"  # its rows are levels
    for column in by_column.values():
        assert any(axes.get_xlabel() for axes in column) or name == "beta"  # its bars are named


@every_figure
def test_no_error_bar_is_cut_off(name: str) -> None:
    for axes in plots(figure_of(name)):
        for bar in bars(axes):
            for ends, limits in zip(bar.T, (axes.get_xlim(), axes.get_ylim()), strict=True):
                assert min(limits) <= ends.min() <= ends.max() <= max(limits), (bar, limits)


def test_stability_of_several_layers_lies_in_landscape_and_begins_at_four_tenths() -> None:
    high = np.full((2, 4, 20), 0.8)
    high[..., ::2] = 1.0
    layers = [
        replace(of_layer(level), consistency=high, cosine=high, chance=np.full((2, 4), 0.42))
        for level in ("coarse", "intermediate", "fine", "image")
    ]
    figure = paper.stability(paper.Stability(layers))
    width, height = figure.get_size_inches()
    assert width > 1.5 * height
    assert {axes.get_ylim()[0] for axes in plots(figure)} == {0.4}
    assert len({axes.get_ylim()[1] for axes in plots(figure)}) == 1
    lower = replace(layers[0], chance=np.full((2, 4), 0.31))
    figure = paper.stability(paper.Stability([*layers[1:], lower]))
    assert {round(axes.get_ylim()[0], 6) for axes in plots(figure)} == {0.3}


@every_figure
def test_panels_are_lettered_in_order(name: str) -> None:
    letters = [
        text.get_text()
        for text in words(figure_of(name))
        if text.get_fontsize() == 9 and text.get_fontweight() == "bold"
    ]
    assert sorted(letters) == [chr(ord("a") + i) for i in range(len(letters))]
    assert letters or name == "table1"


@pytest.mark.parametrize("name", ["magnitude", "levels"])
def test_the_same_numbers_give_the_same_bytes(name: str, tmp_path: Path) -> None:
    first, second = (paper.save(FIGURES[name](), tmp_path / stem) for stem in ("one", "two"))
    for one, two in zip(first, second, strict=True):
        assert one.read_bytes() == two.read_bytes()


@every_figure
def test_on_a_dark_page_words_and_strokes_are_light_and_pictures_unchanged(name: str) -> None:
    figure = FIGURES[name]()
    pictures = [np.array(image.get_array()) for image in figure.axes[0].images]
    darken(figure)
    assert to_hex(figure.get_facecolor()) == GROUND
    for text in words(figure):
        ink = np.array(to_rgb(text.get_color()))
        assert (ink @ [0.2126, 0.7152, 0.0722]) > 0.35, text
    lines = [line for axes in plots(figure) for line in axes.lines]
    for line in (line for line in lines if line.get_marker() != "None"):
        assert max(to_rgb(line.get_color())) > 0.4
    for image, before in zip(figure.axes[0].images, pictures, strict=True):
        np.testing.assert_array_equal(np.array(image.get_array()), before)


def test_a_dark_figure_lies_beside_the_others(tmp_path: Path) -> None:
    path = paper.save_dark(FIGURES["seams"](), tmp_path / "f")
    assert path == tmp_path / "f-dark.png"
    with Image.open(path) as image:
        assert image.width == 1035
        assert np.asarray(image)[2, 2].tobytes().hex() == GROUND[1:]


def test_both_files_are_named_by_the_stem(tmp_path: Path) -> None:
    saved = paper.save(figure_of("seams"), tmp_path / "fig.5")
    assert saved == (tmp_path / "fig.5.png", tmp_path / "fig.5.pdf")
    assert all(path.stat().st_size > 1000 for path in saved)


def test_a_png_has_three_hundred_pixels_an_inch(tmp_path: Path) -> None:
    with Image.open(paper.save(figure_of("seams"), tmp_path / "f")[0]) as image:
        assert image.mode == "RGB"
        assert image.width == 1035  # 3.35 inches and a margin
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_a_pdf_embeds_truetype_and_no_date(tmp_path: Path) -> None:
    content = paper.save(figure_of("seams"), tmp_path / "f")[1].read_bytes()
    assert b"/FontFile2" in content
    assert b"/Type3" not in content
    assert b"CreationDate" not in content


def test_each_level_has_a_colour_scale_that_ends_with_its_strongest_pixel() -> None:
    given = of_examples()
    figure = paper.influence_examples(given)
    images = figure.axes[0].images
    assert len(images) == 12
    for row, level in enumerate(given.levels):
        for image in images[6 * row : 6 * row + 6]:
            assert image.norm.vmin == 0
            assert image.norm.vmax == pytest.approx(100 * level.maps.max())
    tops = [axes.get_ylim()[1] for axes in scales(figure)]
    assert tops == pytest.approx([100 * level.maps.max() for level in given.levels])


def test_examples_name_each_channel_and_its_influence() -> None:
    given = of_examples()
    drawn = texts(paper.influence_examples(given))
    assert {"intermediate", "64 channels", "image", "16 channels"} <= set(drawn)
    assert drawn.count("5") == 2
    assert f"{100 * given.levels[0].individual[5]:.2f}%" in drawn


def test_clusters_draw_originals_templates_examples_and_hybrids() -> None:
    figure = paper.clusters(of_clusters())
    pairs, modules, examples = 7, 3, 0 + 1 + 2
    assert len(figure.axes[0].images) == 2 * pairs + modules * (1 + pairs) + examples
    assert {"Original 1", "Original 2", "Module 0", "14 of 64"} <= set(texts(figure))


def test_a_row_of_hybrids_is_its_modules(tmp_path: Path) -> None:
    figure = paper.clusters(replace(of_clusters(), original1=painted((1, 1, -1), 7)))
    pixels = np.asarray(Image.open(paper.save(figure, tmp_path / "f")[0]))
    column = pixels[:, -40]  # through the last pair: original 1, original 2, then the modules
    seen = [tuple(int(value) for value in pixel) for pixel in column]
    order = [color for i, color in enumerate(seen) if i == 0 or color != seen[i - 1]]
    expected = [(255, 255, 0), (0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)]
    assert [color for color in order if color in expected] == expected


def test_every_module_of_a_layer_has_a_point_and_an_error_bar() -> None:
    top, left, right = plots(paper.magnitude(of_magnitude()))
    assert len(list(bars(left))) == len(list(bars(right))) == 3 * 9
    assert len(list(bars(top))) == 3 * 3
    heights = np.ptp(np.array(list(bars(left)))[:9, :, 1], axis=1)
    assert heights == pytest.approx(2 * 0.1 * 10 * of_magnitude().layers[0].channels / 64)


def test_the_top_panel_has_mean_and_deviation_over_modules() -> None:
    top = plots(paper.magnitude(of_magnitude()))[0]
    influence = 10 * np.array([8, 24]) / 64  # the two modules of K = 2
    first = next(bars(top))
    assert first[:, 1].mean() == pytest.approx(influence.mean())
    assert np.ptp(first[:, 1]) == pytest.approx(2 * influence.std(ddof=1))


def test_regressions_are_drawn_and_their_r2_written() -> None:
    figure = paper.magnitude(of_magnitude())
    drawn = texts(figure)
    assert "intermediate, r² = 0.88 (b)" in drawn
    assert "all layers, r² = 0.62 (c)" in drawn
    right = plots(figure)[2]
    pooled = [line for line in right.lines if line.get_linestyle() == "--"]
    assert len(pooled) == 1
    assert np.asarray(pooled[0].get_ydata()) == pytest.approx([0, 7.5])  # to 24 of 32 channels


def test_a_line_that_could_not_be_fitted_is_not_drawn() -> None:
    nan = float("nan")
    figure = paper.magnitude(replace(of_magnitude(), pooled=paper.Line(nan, nan, nan)))
    assert not [line for line in plots(figure)[2].lines if line.get_linestyle() == "--"]
    assert "all layers, r² = none (c)" in texts(figure)


def test_a_curve_of_reach_begins_at_nothing_and_ends_with_the_units_that_there_are() -> None:
    left, right = plots(paper.reach(of_reach(1)))
    given = of_reach(1).targets[0].curves[-1]  # 12 units, in 16 places
    places, shares = (np.asarray(x) for x in left.lines[2 * 4].get_data())
    assert places.tolist() == list(range(13))
    assert shares == pytest.approx([0.0, *100 * given.best.value[:12]])
    of_all, same = (np.asarray(x) for x in right.lines[2 * 4].get_data())
    assert of_all == pytest.approx(100 * places / 12)
    assert same == pytest.approx(shares)


def test_a_band_of_reach_is_one_error_wide_to_each_side() -> None:
    left, _ = plots(paper.reach(of_reach(1)))
    given = of_reach(1).targets[0].curves[0].best
    band = np.asarray(left.collections[0].get_paths()[0].vertices)
    at_sixteen = band[band[:, 0] == 16, 1]
    assert np.ptp(at_sixteen) == pytest.approx(2 * 100 * given.error[-1])
    assert (at_sixteen.min() + at_sixteen.max()) / 2 == pytest.approx(100 * given.value[-1])


def test_stability_has_a_bar_of_one_deviation_for_each_method_and_k() -> None:
    given = of_layer()
    left, right = plots(paper.stability(paper.Stability([given])))
    assert len(list(bars(left))) == len(list(bars(right))) == 8
    heights = np.ptp(np.array(list(bars(left)))[:, :, 1], axis=1).reshape(2, 4)
    assert heights == pytest.approx(2 * given.consistency.std(axis=-1, ddof=1))


def test_chance_is_dashed_and_the_suggested_k_ringed() -> None:
    left, right = plots(paper.stability(paper.Stability([of_layer()])))
    assert sum(line.get_linestyle() == "--" for line in left.lines) == 2
    assert not any(line.get_linestyle() == "--" for line in right.lines)
    rings = [line for line in left.lines if line.get_markerfacecolor() == "none"]
    places = [float(np.asarray(ring.get_xdata())[0]) for ring in rings]
    assert np.rint(places).tolist() == [3, 4]


def test_a_run_that_did_not_settle_is_left_out() -> None:
    values = np.array([[0.5, np.nan, 0.7], [np.nan, np.nan, 0.4], [np.nan] * 3])
    estimate = over_repeats(values)
    assert estimate.value[:2] == pytest.approx([0.6, 0.4])
    assert np.isnan(estimate.value[2])
    assert estimate.error[0] == pytest.approx(np.std([0.5, 0.7], ddof=1))
    assert np.isnan(estimate.error[1:]).all()


def test_a_module_without_channels_has_no_point() -> None:
    left, right = plots(paper.purity(of_purity()))
    assert len(list(bars(left))) == 4 * 3
    assert all(len(np.asarray(line.get_xdata())) == 4 for line in right.lines)


def test_the_default_of_every_setting_is_dotted() -> None:
    axes = plots(paper.sensitivity(of_sensitivity()))
    defaults = [
        float(np.asarray(line.get_xdata())[0])
        for one in axes
        for line in one.lines
        if line.get_linestyle() == ":"
    ]
    assert defaults == [3, 3, 75, 75, 1000, 1000]
    assert [one.get_xscale() for one in axes] == ["linear"] * 4 + ["log"] * 2


def test_panels_of_a_row_share_their_axis() -> None:
    axes = plots(paper.sensitivity(of_sensitivity()))
    assert len({one.get_ylim() for one in axes[::2]}) == 1


def test_the_reference_is_a_line_and_not_a_point() -> None:
    figure = paper.originals(of_originals())
    counts = [len(list(bars(axes))) for axes in plots(figure)]
    assert counts == [4, 4, 4, 6]
    dashed = [sum(line.get_linestyle() == "--" for line in one.lines) for one in plots(figure)]
    assert dashed == [1, 1, 1, 0]


def test_cells_that_depart_share_a_note() -> None:
    drawn = texts(paper.table1(of_table()))
    assert drawn.count("Paper: one rate for both.") == 1
    assert drawn.count("a") == 1 + 2  # the note, and two cells
    assert drawn.count("b") == 1 + 5


def test_a_row_with_a_missing_cell_is_refused() -> None:
    short = replace(of_table(), cells=([paper.Cell("64")] * 5, [paper.Cell("64")] * 4, ()))
    with pytest.raises(ValueError, match="'Optimisation algorithm' has 4 cells; there are 5"):
        paper.table1(short)


def test_without_images_beta_shows_samples_and_what_they_are_compared_with() -> None:
    found = replace(of_beta(), images=None)
    words = {text.get_text() for text in paper.beta(found).findobj(Text)}
    assert {"Samples", "Sharpness, β = 1"} <= words
    assert not {"Image", "Reconstructions", "Sharpness, real = 1"} & words


def test_sharpness_is_seen_against_that_of_real_images() -> None:
    sharpness, overlay = plots(paper.beta(of_beta()))
    assert [patch.get_height() for patch in sharpness.patches] == [0.3, 0.5]  # type: ignore[attr-defined]
    assert [
        sum(line.get_linestyle() == "--" for line in one.lines) for one in (sharpness, overlay)
    ] == [1, 0]
    assert sharpness.get_ylim()[0] == 0
    assert sharpness.get_ylim()[1] > 1
    assert len(list(bars(overlay))) == 2


def test_intervals_of_the_ratio_need_not_be_symmetric() -> None:
    ratios = plots(paper.seams(of_seams()))[1]
    segments = list(bars(ratios))
    assert len(segments) == 3
    assert segments[0][:, 1] == pytest.approx([0.9, 1.2])


def test_a_method_has_one_colour_in_all_figures() -> None:
    left = plots(paper.stability(paper.Stability([of_layer(count=4)])))[0]
    other = plots(paper.methods(of_methods()))[0]
    first, second = ({to_hex(line.get_color()) for line in axes.lines} for axes in (left, other))
    expected = {paper.METHODS[name].color for name in ("nmf", "kmeans", "pca", "spectral")}
    assert expected <= first
    assert expected <= second


@pytest.mark.parametrize("marks", [paper.METHODS, paper.LEVELS, paper.SOURCES])
def test_series_differ_by_colour_and_by_marker(marks: dict[str, paper.Mark]) -> None:
    assert len({mark.color for mark in marks.values()}) == len(marks)
    assert len({mark.marker for mark in marks.values()}) == len(marks)
    assert not {mark.color for mark in marks.values()} & {module_color(i) for i in range(8)}


# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB: what is seen without the cones
# for long, middle and short waves.
SIGHTS = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
TO_XYZ = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
WHITE = np.array([0.9505, 1.0, 1.089])


def lab(color: str, sight: str) -> np.ndarray:
    """A colour as it is seen, in CIELAB."""
    coded = np.array(to_rgb(color))
    linear = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    xyz = np.array(TO_XYZ) @ np.clip(np.array(SIGHTS[sight]) @ linear, 0, 1) / WHITE
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("sight", SIGHTS)
@pytest.mark.parametrize("marks", [paper.METHODS, paper.LEVELS, paper.SOURCES])
def test_colours_of_series_are_told_apart_with_every_sight(
    marks: dict[str, paper.Mark], sight: str
) -> None:
    # A difference of 2 is just seen side by side; small marks want about ten times that.
    for one, two in combinations(marks.values(), 2):
        difference = float(np.linalg.norm(lab(one.color, sight) - lab(two.color, sight)))
        assert difference > 20, (one.name, two.name, difference)


def test_levels_grow_lighter_towards_the_image() -> None:
    weights = np.array([0.2126, 0.7152, 0.0722])
    colors = [mark.color for mark in paper.LEVELS.values()]
    light = [
        float(weights @ [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]) for color in colors
    ]
    assert np.diff(light).min() > 0.08


def test_an_unknown_method_is_refused_by_name() -> None:
    layer = replace(of_layer(), methods=("nmf", "median"))
    with pytest.raises(ValueError, match=r"'median' has no colour .* nmf, kmeans, pca, spectral"):
        paper.stability(paper.Stability([layer]))


def test_importing_needs_no_matplotlib() -> None:
    code = (
        "import sys, graftscope.client.figures.paper\n"
        "print(sorted(sys.modules.keys() & {'matplotlib', 'grpc'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
