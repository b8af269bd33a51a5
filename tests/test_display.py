"""Facts about what notebooks show: which values, that it is safe and small, and what it says."""

import re
import sys
from dataclasses import is_dataclass, replace
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

import graftscope.client
from display_toys import (
    CHANNELS,
    FILES,
    HYBRIDS,
    IMAGES,
    JOB,
    MODEL,
    SAMPLES,
    STRIP,
    VALUES,
    Seen,
    named,
)
from graftscope.client import Constant, Edit, Intervention, JobState, LayersResult, SampleFiles
from graftscope.client.arrays import Displayed, Drawn, Gridded
from graftscope.client.display import CARDS, FIGURES, GRIDS, MOST_BYTES
from graftscope.client.errors import InputError, MissingExtraError
from graftscope.client.figures import MAP_COLORS, MAP_GAMMA, ReportExtraError, colored
from graftscope.client.pictures import to_pixels
from test_client_saved import FOUND, INFLUENCE, MAGNITUDE, MODULES, REACH, STABILITY

# A line says all of them: what one passes to a method, what is a part of something that is shown,
# and what is used and not looked at.
SAID_IN_A_LINE = {
    "TLS", "Add", "Between", "Blend", "ConfidentLabels", "Constant", "Contrast", "Deviation",
    "Edit", "Encoded", "Estimate", "Execution", "ExploreTask", "FaithfulnessTask", "ImageDonor",
    "ImageFormat", "ImageNetwork", "ImagePairs", "Images", "IndependenceTask", "InfluenceTask",
    "Input", "LatentPairs", "Layer", "MagnitudeTask", "ModuleOf", "ModulesTask", "Original2",
    "PairGroups", "Preprocessing", "Prior", "PriorMean", "Progress", "ReachTask", "Rectangle",
    "Regression", "RelativeError", "Scale", "Source", "Spill", "StabilityTask", "StableLabels",
    "HybridSet", "ProbeTask", "ProbedClassifier", "StatedPreprocessing",
    "Stopping", "StoredLatents", "SuggestedK", "Swap", "Together", "TorchHook",
}  # fmt: skip


def shown(value: Any) -> Seen:
    return Seen.of(value._repr_html_())


def test_each_public_value_is_shown_or_said_in_a_line() -> None:
    public = {name: getattr(graftscope.client, name) for name in graftscope.client.__all__}
    values = {
        name for name, each in public.items() if isinstance(each, type) and is_dataclass(each)
    }
    cards = {kind.__name__ for kind in CARDS}
    assert values - cards == SAID_IN_A_LINE & values
    assert not cards & SAID_IN_A_LINE
    for kinds, base in ((CARDS, Displayed), (FIGURES, Drawn), (GRIDS, Gridded)):
        assert all(issubclass(kind, base) for kind in kinds), base
    assert {type(value) for value in VALUES} == set(CARDS)


@pytest.mark.parametrize("value", VALUES, ids=named)
def test_what_is_shown_has_no_script_and_asks_nobody(value: Any) -> None:
    html = value._repr_html_()
    seen = Seen.of(html)
    assert len(html.encode()) < MOST_BYTES
    assert not {"script", "link", "iframe", "object", "a"} & set(seen.tags)
    without_pictures = re.sub(r"base64,[^\"]*", "", html)
    assert not re.search(r"https?:|//|@import|url\(", without_pictures)
    for name, words in seen.attributes:
        assert not name.startswith("on")
        assert name != "src" or words.startswith("data:image/png;base64,")
    assert html.count("<img") == html.count('style="image-rendering:pixelated"')
    assert "color:#" not in html.replace("border-top:4px solid #", "")  # the notebook's own


def test_all_text_is_escaped_and_cut() -> None:
    bad = '<script>alert("1")</script>' + "x" * 100_000
    values = [
        replace(CHANNELS, layer=bad, operation=bad, model=bad),
        replace(STRIP, intervention=bad, model=bad),
        replace(MODEL, name=bad, layers=(replace(MODEL.layers[0], name=bad),) * 500),
        replace(JOB, error=bad, layer=bad),
        replace(MODULES, confidence_unknown=bad),
        LayersResult({bad: CHANNELS}, bad),
        Intervention([Edit(bad, range(500), action=Constant(0.0))]),
    ]
    for value in values:
        html = value._repr_html_()
        assert "script" not in Seen.of(html).tags, named(value)
        assert "&lt;script&gt;" in html, named(value)
        assert len(html.encode()) < MOST_BYTES, named(value)


def test_large_results_are_shown_in_part_and_say_so() -> None:
    noise = np.random.default_rng(0).random((60, 256, 200))
    many = replace(
        CHANNELS,
        maps=noise,
        stderr=noise,
        individual=noise.mean((1, 2)),
        individual_stderr=np.zeros(60),
        channels=np.arange(60),
        pairs_of=np.full(60, 64),
    )
    images = np.random.default_rng(0).uniform(-1, 1, (40, 3, 250, 250)).astype(np.float32)
    for value, left_out in (
        (many, r"Shown: \d+ of 60\."),
        (replace(SAMPLES, images=images), r"Shown: \d+ of 40\."),
        (replace(HYBRIDS, original1=images, original2=images, hybrid=-images), r"of 160\."),
    ):
        html = value._repr_html_()
        seen = Seen.of(html)
        assert len(html.encode()) < MOST_BYTES
        assert seen.pictures
        assert max(max(each.shape) for each in seen.pictures) <= 96
        assert re.search(left_out, seen.words)


def test_maps_are_shown_the_strongest_first_with_their_errors_and_their_own_pixels() -> None:
    seen = shown(CHANNELS)
    order = np.argsort(-CHANNELS.individual)
    assert len(seen.pictures) == 4
    for drawn, at in zip(seen.pictures, order, strict=True):
        values = CHANNELS.maps[at]
        expected = colored(values, MAP_COLORS, float(values.max()), MAP_GAMMA)
        np.testing.assert_array_equal(drawn, expected)
    first = order[0]
    share = 100 * CHANNELS.individual[first] / 2
    assert f"channel {first} {share:.2f} ± 0.50 %" in " ".join(seen.words.split())
    assert f"{CHANNELS.individual[first]:.3g} ± 0.01" in seen.words


def test_images_are_shown_in_their_own_pixels_and_range() -> None:
    samples, files = shown(SAMPLES), shown(next(x for x in VALUES if isinstance(x, SampleFiles)))
    expected = to_pixels(IMAGES, (-1.0, 1.0))
    np.testing.assert_array_equal(samples.pictures, expected)
    assert len(files.pictures) == len(FILES)
    unknown = shown(replace(SAMPLES, image_range=()))
    assert f"black is {IMAGES.min():.3g}" in unknown.words
    assert unknown.pictures[0].max() == 255 or unknown.pictures[1].max() == 255


def test_a_hybrid_stands_beside_its_originals_and_its_change() -> None:
    seen = shown(HYBRIDS)
    first, second, hybrid, change = seen.pictures[:4]
    for drawn, images in ((first, IMAGES), (second, -IMAGES), (hybrid, IMAGES[::-1])):
        np.testing.assert_array_equal(drawn, to_pixels(images, (-1.0, 1.0))[0])
    values = np.abs(IMAGES[1] - IMAGES[0]).mean(axis=0, dtype=np.float64)
    np.testing.assert_array_equal(
        change, colored(values, MAP_COLORS, float(values.max()), MAP_GAMMA)
    )
    assert f"mean {50 * values.mean():.2f} %" in seen.words


def test_a_card_tells_where_its_value_came_from() -> None:
    words = " ".join(shown(replace(CHANNELS, originals="encoded")).words.split())
    for told in (
        "model toy@0123456789ab",
        "layer conv1",
        "seed 4294967295, from pair 64, stratified",
        "originals encoded, 7 different real images",
        "in bfloat16 on OpenVINO, rewritten by shared-first, phases",
        "operations/1, took 3.2 s",
    ):
        assert told in words
    assert "took" not in shown(INFLUENCE).words


def test_a_job_says_what_to_do_with_it() -> None:
    progress = replace(JOB.progress, state=JobState.DONE)
    done = replace(JOB, progress=progress, done=True)
    assert 'client.wait("01234567") follows it' in shown(JOB).words
    assert "64 of 128 pairs" in shown(JOB).words
    assert 'client.result("01234567")' in shown(done).words


def test_what_is_shown_needs_no_matplotlib_and_figures_name_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, name, None)
    for value in VALUES:
        assert value._repr_html_()
    with pytest.raises(ReportExtraError, match=r"pip install 'graftscope\[report\]'"):
        CHANNELS.plot()


@pytest.mark.parametrize("value", [each for each in VALUES if isinstance(each, Drawn)], ids=named)
def test_each_result_draws_itself(value: Any) -> None:
    figure = value.plot()
    assert isinstance(figure, Figure)
    drawn, size = figure._repr_png_()  # type: ignore[attr-defined]  # what notebooks ask for
    assert drawn.startswith(b"\x89PNG")
    assert size["width"] <= 1080 + 2 * 16


def test_maps_are_drawn_by_module_where_labels_are_given() -> None:
    def words(figure: Figure) -> set[str]:
        return {text.get_text() for text in figure.axes[0].texts}

    assert "Module 1" in words(CHANNELS.plot(MODULES.labels))
    assert "In no module" in words(CHANNELS.plot(MODULES.labels))
    assert "Strongest" in words(CHANNELS.plot())
    with pytest.raises(InputError, match="labels of 2 channels do not belong to 4 maps"):
        CHANNELS.plot(np.array([0, 1]))


def test_nothing_found_is_not_drawn() -> None:
    nothing = replace(FOUND, labels=np.full(len(FOUND.labels), -1))
    with pytest.raises(InputError, match="no channel was found"):
        nothing.plot()


def test_a_dataset_has_named_axes_units_and_errors_beside_what_they_are_of() -> None:
    some = replace(CHANNELS, channels=np.array([3, 5, 8, 9]))
    dataset = some.to_xarray()
    assert dataset["maps"].dims == dataset["stderr"].dims == ("channel", "y", "x")
    np.testing.assert_array_equal(dataset["maps"].sel(channel=8), some.maps[2])
    assert float(dataset["individual_stderr"].sel(channel=5)) == 0.01
    assert dataset["maps"].attrs["units"] == dataset["stderr"].attrs["units"] == "image units"
    assert dataset["products"].dims == ("channel", "other_channel")
    assert dataset.attrs["model"] == "toy@0123456789ab"
    assert dataset.attrs["range_width"] == 2.0
    assert replace(some, subject="modules").to_xarray()["maps"].dims[0] == "module"


def test_datasets_hold_what_results_hold() -> None:
    modules = MODULES.to_xarray()
    np.testing.assert_array_equal(modules["templates"].sel(module=1), MODULES.templates[1])
    np.testing.assert_array_equal(modules["confidence"], MODULES.confidence)
    assert modules["seed_labels"].sel(seed=3).dims == ("channel",)
    stable = STABILITY.to_xarray()
    at = stable["consistency"].sel(clustering="spectral", k=3)
    np.testing.assert_array_equal(at, STABILITY.consistency[1, 1])
    np.testing.assert_array_equal(stable["consistency_sd"], STABILITY.consistency_sd)
    strip = STRIP.to_xarray()
    np.testing.assert_array_equal(strip["images"].sel(strength=1.0), -IMAGES)
    assert strip["images"].dims == ("strength", "pair", "colour", "y", "x")
    found = FOUND.to_xarray()
    np.testing.assert_array_equal(found["score"], FOUND.contrast.score)
    samples = SAMPLES.to_xarray()
    assert samples["z"].dims == ("sample", "z_1")
    assert samples.attrs["image_range"] == [-1.0, 1.0]
    for value in VALUES:
        if isinstance(value, Gridded):
            assert value.to_xarray().sizes


def test_layers_of_a_dataset_stand_one_behind_the_other_as_in_their_table() -> None:
    few = replace(
        CHANNELS,
        layer="conv2",
        products=None,
        **{
            name: getattr(CHANNELS, name)[:3]
            for name in ("maps", "stderr", "individual", "individual_stderr", "channels")
        },
        pairs_of=np.full(3, 1),
    )
    both = LayersResult({"conv1": CHANNELS, "conv2": few}, "operations/1")
    dataset, columns = both.to_xarray(), both.columns()
    assert dataset["layer"].values.tolist() == columns["layer"].tolist()
    assert dataset["channel"].values.tolist() == columns["channel"].tolist()
    second = dataset["maps"][dataset["layer"].values == "conv2"]
    np.testing.assert_array_equal(second, few.maps)


def test_without_xarray_a_dataset_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'graftscope\[notebook\]'"):
        INFLUENCE.to_xarray()


def test_reach_is_drawn_with_its_target_and_kinds() -> None:
    figure = REACH.plot()
    told = [text.get_text() for text in figure.legends[0].get_texts()]
    assert told == ["latents", "conv1", "conv2", "random order"]
    assert REACH.target in [text.get_text() for axes in figure.axes for text in axes.texts]


def test_magnitude_is_drawn_by_layers_that_have_no_level() -> None:
    figure = MAGNITUDE.plot()
    told = [text.get_text() for text in figure.legends[0].get_texts()]
    assert any(text.startswith("conv2") for text in told)
