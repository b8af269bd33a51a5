"""The figures: their sizes, their colours, and that what is given is what is drawn."""

import io
import subprocess
import sys

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.figure import Figure
from PIL import Image

from graftscope.client.figures import (
    MAP_COLORS,
    TEMPLATE_COLORS,
    ReportExtraError,
    colored,
    figure_png,
    gallery_figure,
    graft_figure,
    hybrids_figure,
    individual_figure,
    module_color,
    region_figure,
    samples_figure,
    seeds_figure,
    template_png,
    templates_figure,
)
from graftscope.client.figures._palette import paler

RANGE = (-1.0, 1.0)
WIDTH = 1080
MARGIN = 16
ONES = np.ones((2, 16, 16))
RED, GREEN, BLUE = (1.0, -1.0, -1.0), (-1.0, 1.0, -1.0), (-1.0, -1.0, 1.0)


def opened(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def painted(*colors: tuple[float, float, float], side: int = 16) -> np.ndarray:
    """One plain image for each colour, (N, 3, side, side)."""
    values = np.array(colors, dtype=np.float32)[:, :, None, None]
    return np.broadcast_to(values, (len(colors), 3, side, side)).copy()


def rgb(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def amount(pixels: np.ndarray, color: tuple[int, int, int]) -> int:
    return int((pixels == color).all(axis=-1).sum())


def drawn_words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def maps_of(channels: int, side: int = 16) -> np.ndarray:
    return np.random.default_rng(channels).uniform(0.01, 0.1, (channels, side, side))


def test_module_colours_are_stable_and_told_apart() -> None:
    colors = [module_color(module) for module in range(8)]
    assert colors[:3] == ["#0072b2", "#d55e00", "#009e73"]
    assert len(set(colors)) == 8
    assert module_color(8) == colors[0]
    assert module_color(-1) not in colors
    with pytest.raises(ValueError, match="module -2"):
        module_color(-2)


def test_a_png_has_two_pixels_a_layout_pixel_and_no_alpha() -> None:
    figure = samples_figure(painted(RED, GREEN), RANGE)
    image = Image.open(io.BytesIO(figure_png(figure)))
    assert image.mode == "RGB"
    assert image.width == 2 * (WIDTH + 2 * MARGIN)
    assert Image.open(io.BytesIO(figure_png(figure, 1.0))).width == WIDTH + 2 * MARGIN


def test_the_same_figure_gives_the_same_bytes() -> None:
    images = painted(RED, GREEN, BLUE)
    first, second = (figure_png(samples_figure(images, RANGE)) for _ in range(2))
    assert first == second


def test_samples_stand_in_reading_order() -> None:
    pixels = opened(figure_png(samples_figure(painted(RED, GREEN, BLUE), RANGE), 1.0))
    pixels = pixels[MARGIN:-MARGIN, MARGIN:-MARGIN]
    cell = WIDTH // 6  # few samples are not blown up beyond a sixth of the page
    assert tuple(pixels[cell // 2, cell // 2]) == (255, 0, 0)
    assert tuple(pixels[cell // 2, cell + cell // 2]) == (0, 255, 0)
    assert tuple(pixels[cell // 2, 2 * cell + cell // 2]) == (0, 0, 255)


def test_samples_beyond_the_limit_are_left_out() -> None:
    many = painted(*[RED] * 24, BLUE)
    pixels = opened(figure_png(samples_figure(many, RANGE, limit=24), 1.0))
    assert amount(pixels, (0, 0, 255)) == 0


def test_no_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="no sample"):
        samples_figure(painted(RED)[:0], RANGE)


def test_grey_samples_are_drawn() -> None:
    pixels = opened(figure_png(samples_figure(np.ones((3, 1, 9, 12)), RANGE), 1.0))
    assert pixels.shape[1] == WIDTH + 2 * MARGIN


def test_every_map_of_the_gallery_is_framed_in_the_colour_of_its_module() -> None:
    maps = maps_of(9)
    labels = np.array([0, 1, 2, 0, 1, 2, 0, 1, -1])
    figure = gallery_figure(maps, labels, maps.mean(axis=(1, 2)), np.arange(9))
    pixels = opened(figure_png(figure))
    for module in (0, 1, 2, -1):
        assert amount(pixels, rgb(module_color(module))) > 1000, module
    assert amount(pixels, rgb(module_color(3))) == 0


def test_a_channel_that_may_belong_elsewhere_says_where_in_that_modules_colour() -> None:
    maps, labels = maps_of(6), np.array([0, 0, 0, 1, 1, 1])
    made = gallery_figure(
        maps, labels, maps.mean(axis=(1, 2)), np.arange(6), others={1: (2,), 4: (3, 0)}
    )
    assert sorted(each for each in drawn_words(made) if each.startswith("or")) == [
        "or 2",
        "or 3, 0",
    ]
    pixels = opened(figure_png(made))
    assert amount(pixels, rgb(module_color(2))) > 100
    assert amount(pixels, rgb(module_color(4))) == 0


def test_the_unsure_part_of_a_clusters_bar_is_pale() -> None:
    labels, sure = np.repeat([0, 1], [30, 10]), np.arange(40) % 3 > 0
    figure = templates_figure(np.ones((2, 16, 16)), labels, sure)
    assert {"30 of 40 channels, 20 sure", "10 of 40 channels, 6 sure"} <= set(drawn_words(figure))
    bars = opened(figure_png(figure, 1.0))[-40 - MARGIN :]
    for module, (solid, pale) in enumerate(((20, 10), (6, 4))):
        amounts = [amount(bars, rgb(each(module_color(module)))) for each in (str, paler)]
        assert amounts[0] / amounts[1] == pytest.approx(solid / pale, rel=0.1)


def test_the_gallery_shares_its_places_among_modules() -> None:
    maps = maps_of(40, side=4)
    individual = maps.mean(axis=(1, 2))
    few = gallery_figure(maps, np.zeros(40, int), individual, np.arange(40), limit=10)
    more = gallery_figure(maps, np.zeros(40, int), individual, np.arange(40), limit=30)
    assert more.get_figheight() > 1.5 * few.get_figheight()


def test_many_modules_stand_two_abreast() -> None:
    maps = maps_of(40, side=4)
    labels = np.arange(40) % 10
    figure = gallery_figure(maps, labels, maps.mean(axis=(1, 2)), np.arange(40))
    assert figure.get_figheight() < 8


def test_a_bar_shows_each_clusters_share() -> None:
    labels = np.repeat([0, 1], [30, 10])
    pixels = opened(figure_png(templates_figure(np.ones((2, 16, 16)), labels), 1.0))
    bars = pixels[-40 - MARGIN :]  # below the templates and their frames
    sizes = [amount(bars, rgb(module_color(module))) for module in (0, 1)]
    assert sizes[0] == pytest.approx(3 * sizes[1], rel=0.05)


def test_a_row_is_drawn_for_every_seed() -> None:
    templates = np.random.default_rng(0).uniform(size=(5, 3, 16, 16))
    five = seeds_figure(templates, np.ones(5), range(5))
    two = seeds_figure(templates[:2], np.ones(2), (0, 1))
    assert five.get_figwidth() == two.get_figwidth()
    assert five.get_figheight() - two.get_figheight() == pytest.approx(3 * 0.54)


def test_a_template_alone_is_coloured_from_zero_to_its_maximum() -> None:
    template = np.zeros((16, 16))
    template[4, 5] = 2.0
    pixels = opened(template_png(template, min_side=64))
    assert pixels.shape == (64, 64, 3)
    assert tuple(pixels[0, 0]) == (68, 1, 84)  # the lower end of viridis
    assert tuple(pixels[4 * 4 + 1, 5 * 4 + 1]) == (253, 231, 36)  # and its upper end


def test_originals_and_hybrids_stand_in_their_rows() -> None:
    first, second = painted(RED, RED), painted(BLUE, BLUE)
    hybrids = painted(GREEN, GREEN, RED, RED).reshape(2, 2, 3, 16, 16)
    figure = hybrids_figure(first, second, hybrids, ONES, ONES, np.array([0, 1, 1]), RANGE)
    pixels = opened(figure_png(figure, 1.0))
    rows = [
        np.flatnonzero((pixels == color).all(axis=-1).any(axis=1)).min()
        for color in ((255, 0, 0), (0, 0, 255), (0, 255, 0))
    ]
    assert rows == sorted(rows), "original 1, original 2, then the first module's hybrids"
    reds = (pixels == (255, 0, 0)).all(axis=-1).sum()
    assert reds == pytest.approx(2 * (pixels == (0, 255, 0)).all(axis=-1).sum(), rel=0.05)


@pytest.mark.parametrize("pairs", [1, 6])
def test_hybrids_have_their_changes_below_them_and_are_large(pairs: int) -> None:
    first, second = painted(*[RED] * pairs), painted(*[BLUE] * pairs)
    hybrids = np.stack([painted(*[GREEN] * pairs)] * 2)
    hybrids[:, :, :, :8] = first[:, :, :8]  # the upper half stays
    figure = hybrids_figure(first, second, hybrids, ONES, ONES, np.array([0, 1, 1]), RANGE)
    pixels = opened(figure_png(figure, 1.0))
    column = pixels[:, WIDTH // 3]
    green = np.flatnonzero((column == (0, 255, 0)).all(axis=1))
    ends = np.abs(column.astype(int) - (252, 253, 191)).max(axis=1)  # magma's upper end
    changed = np.flatnonzero(ends <= 2)
    # The same half is drawn twice, but photographs are smoothed where their colours meet.
    assert len(green) == pytest.approx(len(changed), rel=0.25)
    assert len(green) > 2 * 50, "half of a picture of more than 100 pixels, in two rows"
    assert green[0] < changed[0] < green[-1] < changed[-1]


def test_a_weak_channels_map_is_as_bright_as_a_strong_ones_and_its_strength_a_number() -> None:
    shape = np.random.default_rng(0).uniform(size=(16, 16))
    maps = np.stack([shape, shape / 1000])
    figure = gallery_figure(maps, np.zeros(2, int), maps.mean(axis=(1, 2)), np.arange(2))
    first, second = figure.axes[0].images
    for image, values in ((first, maps[0]), (second, maps[1])):
        assert image.norm.vmax == pytest.approx(values.max())
    drawn = {text.get_text() for text in figure.axes[0].texts}
    assert {f"{mean:.2g}" for mean in maps.mean(axis=(1, 2))} <= drawn


@pytest.mark.parametrize(
    "figure",
    [
        hybrids_figure(
            painted(RED),
            painted(BLUE),
            painted(GREEN)[None],
            ONES[:1],
            ONES[:1],
            np.zeros(4, int),
            RANGE,
        ),
        graft_figure(
            painted(RED)[0], painted(BLUE)[0], painted(GREEN)[0], np.zeros(4, int), 0, RANGE
        ),
        gallery_figure(ONES, np.zeros(2, int), np.ones(2), np.arange(2)),
        templates_figure(ONES, np.zeros(4, int)),
        seeds_figure(np.ones((2, 2, 8, 8)), np.ones(2), (0, 1)),
        individual_figure(np.ones(3), np.ones(3) / 9, np.zeros(3, int), np.arange(3), RANGE),
        region_figure(ONES, np.array([0]), np.eye(16)),
    ],
)
def test_nothing_touches_the_edge(figure: Figure) -> None:
    pixels = opened(figure_png(figure, 1.0))
    edge = np.concatenate(
        [pixels[:8].ravel(), pixels[-8:].ravel(), pixels[:, :8].ravel(), pixels[:, -8:].ravel()]
    )
    assert (edge == 255).all()


def test_pairs_beyond_the_limit_are_left_out() -> None:
    first, second = painted(*[RED] * 8, GREEN), painted(*[RED] * 8, BLUE)
    figure = hybrids_figure(
        first, second, first[None], ONES[:1], ONES[:1], np.zeros(4, int), RANGE, limit=8
    )
    pixels = opened(figure_png(figure, 1.0))
    assert amount(pixels, (0, 255, 0)) == amount(pixels, (0, 0, 255)) == 0


def test_a_weak_modules_change_is_drawn_as_bright_as_a_strong_ones() -> None:
    images = painted(RED)
    changes = (
        np.random.default_rng(0).uniform(size=(1, 16, 16)) * np.array([1, 0.01])[:, None, None]
    )

    figure = hybrids_figure(
        images, images, np.stack([images] * 2), ONES, changes, np.zeros(4, int), RANGE
    )
    tops = [image.norm.vmax for image in figure.axes[0].images]
    assert set(changes.max(axis=(1, 2))) <= set(tops)


@pytest.mark.parametrize("channels", [1, 64, 256])
def test_bars_are_drawn_for_any_number_of_channels(channels: int) -> None:
    values = np.linspace(0.001, 0.1, channels)
    labels = np.arange(channels) % 3
    figure = individual_figure(values, values / 10, labels, np.arange(channels), RANGE)
    pixels = opened(figure_png(figure, 1.0))
    assert pixels.shape[1] == WIDTH + 2 * MARGIN
    assert amount(pixels, rgb(module_color(0))) > 1000


def test_unknown_standard_errors_draw_no_error_bar() -> None:
    def ink(stderr: float) -> int:
        values = np.full(8, 0.1)
        figure = individual_figure(
            values, np.full(8, stderr), np.zeros(8, int), np.arange(8), RANGE
        )
        return int((opened(figure_png(figure, 1.0)).sum(axis=-1) < 150).sum())

    assert ink(np.nan) < ink(0.02)


@pytest.mark.parametrize("colors", [1, 3])
def test_the_explanation_draws_a_square_for_each_channel(colors: int) -> None:
    images = np.random.default_rng(0).uniform(-1, 1, (3, colors, 16, 12))
    labels = np.array([0, 1, 1, 2, 0, 1, 2, 0, 0])
    pixels = opened(
        figure_png(graft_figure(images[0], images[1], images[2], labels, 1, RANGE), 1.0)
    )
    square = amount(pixels, rgb(module_color(1))) / (2 * 3)  # three channels, drawn twice
    rest = amount(pixels, rgb(module_color(-1))) / (2 * 6)  # and six that are kept
    assert square == pytest.approx(rest, rel=0.02)
    assert square > 1000


def test_a_missing_extra_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ReportExtraError, match=r"matplotlib.*pip install 'graftscope\[report\]'"):
        samples_figure(painted(RED), RANGE)


def test_a_template_is_drawn_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert opened(template_png(np.ones((4, 4)))).shape == (128, 128, 3)


@pytest.mark.parametrize("name", [MAP_COLORS, TEMPLATE_COLORS])
def test_colours_are_those_of_matplotlib(name: str) -> None:
    values = np.random.default_rng(0).uniform(-0.1, 1.2, (40, 40))
    drawn = colormaps[name](np.clip(values, 0, 1) ** 0.75, bytes=True)[..., :3]
    assert np.array_equal(colored(values, name, 1.0, 0.75), drawn)


def test_importing_figures_and_report_imports_neither_matplotlib_nor_jinja() -> None:
    code = (
        "import sys\n"
        "import graftscope.client.figures, graftscope.client.report\n"
        "print(sorted({'matplotlib', 'jinja2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_drawing_touches_no_global_state_of_pyplot() -> None:
    code = (
        "import sys, numpy as np\n"
        "from graftscope.client.figures import figure_png, samples_figure\n"
        "figure_png(samples_figure(np.zeros((1, 1, 8, 8)), (-1, 1)))\n"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
