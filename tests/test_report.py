"""The report: one file that holds everything, and says what the data say."""

import base64
import io
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from graftscope.client.figures import ReportExtraError
from graftscope.client.pictures import to_pixels
from graftscope.client.report import (
    ByHand,
    Consistency,
    LayerSection,
    _tiles,
    render_report,
)
from graftscope.client.report._example import choose_example
from graftscope.client.report._page import layer_page
from graftscope.client.report._provenance import measurements
from graftscope.client.report._wording import (
    NOTHING_TO_SAY,
    agreement_sentence,
    consistency_sentence,
    percent,
    stability,
    stability_words,
)
from graftscope.client.report._zones import NOWHERE
from report_toys import SPACE, Page, images, make_data, make_section, rendered


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report")
    render_report(make_data(make_section("coarse"), make_section("intermediate")), path)
    return path


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page((folder / "index.html").read_text(encoding="utf-8"))


def test_every_image_is_held_by_the_page(page: Page) -> None:
    for image in page.attributes("img"):
        head, _, body = (image["src"] or "").partition(",")
        assert head == "data:image/webp;base64"
        with Image.open(io.BytesIO(base64.b64decode(body))) as picture:
            assert (str(picture.width), str(picture.height)) == (image["width"], image["height"])


def test_small_images_are_held_exactly_and_large_ones_no_larger_than_a_screen() -> None:
    small, large = images(1, 3, 64, 7)[0], images(1, 3, 1024, 7)[0]
    tiles = [_tiles.photo(image, (-1.0, 1.0), "a sample") for image in (small, large)]
    assert [(tile.width, tile.height) for tile in tiles] == [(64, 64), (512, 512)]
    pixels = Image.open(io.BytesIO(base64.b64decode(tiles[0].source.partition(",")[2])))
    np.testing.assert_array_equal(np.asarray(pixels), to_pixels(small[None], (-1.0, 1.0))[0])


def test_figures_for_slides_lie_beside_the_page(folder: Path) -> None:
    names = {path.stem for path in (folder / "figures").glob("*.png")}
    of_layer = ("maps", "templates", "seeds", "hybrids", "individual", "template-0")
    assert {"samples", "graft", *(f"1-dec-conv-1-{each}" for each in of_layer)} <= names


def test_every_picture_opens_large_without_a_script(page: Page) -> None:
    boxes = [each for each in page.attributes("input") if each["type"] == "checkbox"]
    assert len(boxes) == len(page.attributes("img")) == len(page.attributes("label"))
    assert all((box["aria-label"] or "").startswith("Show large: ") for box in boxes)


def test_no_paragraph_stands_twice(folder: Path) -> None:
    html = (folder / "index.html").read_text(encoding="utf-8")
    told = re.findall(r"<(p|dd|li|figcaption|caption)\b[^>]*>(.*?)</\1>", html, re.DOTALL)
    words = [re.sub(r"<[^>]+>|\s+", " ", text).strip() for _, text in told]
    sections = html.count('class="layer"')
    # What is said of every layer is said once a layer.
    for text in {each for each in words if len(each) > 60}:
        assert words.count(text) <= sections, text
    one = html[html.index('id="layer-1"') : html.index('id="layer-2"')]
    for sentence in ("seeds of the clustering", "change more inside their template"):
        assert one.count(sentence) == 1
        assert sentence not in html[: html.index('id="layer-1"')]


def test_every_image_has_an_alternative_text(page: Page) -> None:
    assert all(len(image["alt"] or "") > 10 for image in page.attributes("img"))


def test_nothing_is_loaded_from_elsewhere(folder: Path, page: Page) -> None:
    html = (folder / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|url\(|@import", html)
    assert {tag for tag, _ in page.elements}.isdisjoint({"script", "link", "iframe", "object"})
    policies = [meta["content"] for meta in page.attributes("meta") if "http-equiv" in meta]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_every_link_leads_to_a_place_on_the_page(page: Page) -> None:
    places = {f"#{attributes['id']}" for _, attributes in page.elements if "id" in attributes}
    links = {link["href"] for link in page.attributes("a") if "download" not in link}
    assert {"#layer-1", "#layer-2"} <= links <= places


def test_every_modules_intervention_is_on_the_page_and_beside_it(folder: Path, page: Page) -> None:
    files = {path.name: path.read_bytes() for path in (folder / "interventions").iterdir()}
    assert len(files) == 2 * 3
    for link in (link for link in page.attributes("a") if "download" in link):
        head, _, body = (link["href"] or "").partition(",")
        assert head == "data:application/json;base64"
        assert base64.b64decode(body) == files.pop(link["download"] or "")
    assert not files
    assert "hybridize --bundle BUNDLE --intervene 1-dec-conv-1-module-0.json" in page.words


def test_a_module_without_channels_leaves_nothing_to_take_along(tmp_path: Path) -> None:
    section = replace(make_section(), interventions=("", "{}", ""))
    links = [
        each
        for each in rendered(make_data(section), tmp_path).attributes("a")
        if "download" in each
    ]
    assert [each["download"] for each in links] == ["1-dec-conv-1-module-1.json"]
    nothing = replace(make_section(), interventions=())
    assert "Take a module along" not in rendered(make_data(nothing), tmp_path / "none").words


def test_the_page_says_what_computed_it_and_how_far_that_is_from_float32(
    page: Page, tmp_path: Path
) -> None:
    assert "float32, CPUExecutionProvider" in page.words
    assert "Measured difference from plain float32" not in page.words
    data = make_data(
        make_section(),
        precision="bfloat16",
        provider="OpenVINOExecutionProvider",
        rewrites=("fold", "share"),
        deviations=("coarse: 1.25% (worst)",),
    )
    words = rendered(data, tmp_path).words
    assert "bfloat16, OpenVINOExecutionProvider; graph rewrites: fold, share" in words
    assert "Measured difference from plain float32" in words
    assert "coarse: 1.25% (worst)" in words


def test_the_page_says_what_the_data_say(page: Page) -> None:
    words = page.words
    assert "Coarse layer" in words
    assert "Intermediate layer" in words
    assert "1,000 pairs" in words
    assert f"1{SPACE}min 11{SPACE}s" in words
    assert "All 5 seeds of the clustering give the same modules" in words
    assert "4 of 12 channels" in words
    assert f"changes 2.5{SPACE}times as much inside as outside" in words
    assert "200 pairs that were not used to find the modules" in words
    assert f"8.25 ± 0.21{SPACE}%" in words, "0.165 ± 0.0042 of a range 2 wide"
    assert f"15.0{SPACE}%" in words, "0.30 of a range 2 wide"
    assert f"6.0{SPACE}%" in words, "0.12 of it"
    assert "The hybrids of all 3 modules change more inside" in words
    assert f"carries 67{SPACE}% of the weight" in words, "0.8 of 0.8 + 0.2 + 0.2"
    assert f"in the median it is 2.5{SPACE}% of the influence" in words
    assert "0,3,6,9" in words, "the channels of module 0"


def test_the_strongest_channel_is_named_with_its_influence(page: Page) -> None:
    individual = make_section().individual
    strongest = int(np.argmax(individual))
    expected = f"channel {strongest} changes the average pixel by {individual.max():.3g}"
    assert expected in page.words


def test_the_footer_tells_where_everything_comes_from(page: Page) -> None:
    for words in (
        "0123456789abcdef" * 4,
        "vae-toy",
        "plain colours",
        "CC0",
        "summed over latents, in nats",
        "mse",
        "0.0451",
        "seed 7",
        "float32, CPUExecutionProvider",
        "mean and covariance of real images' encodings",
        "graftscope report --bundle toy --out report",
    ):
        assert words in page.words, words


def test_the_same_data_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    data = make_data(make_section("coarse"), make_section("intermediate"))
    assert render_report(data, tmp_path).read_bytes() == (folder / "index.html").read_bytes()


@pytest.fixture(scope="module")
def odd_page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """A report with a hostile title, a warning, and channels in no module."""
    section = make_section(seeds=1)
    labels = section.labels.copy()
    labels[:, [2, 5]] = -1
    data = make_data(
        replace(section, labels=labels),
        title="<script>alert(1)</script>",
        command="report && <x>",
        warnings=("Only 12 distinct images were used.", "R & D"),
    )
    return rendered(data, tmp_path_factory.mktemp("odd"))


def test_words_of_others_are_escaped(odd_page: Page) -> None:
    assert "script" not in {tag for tag, _ in odd_page.elements}
    for words in ("<script>alert(1)</script>", "report && <x>", "R & D"):
        assert words in odd_page.words


def test_warnings_stand_before_every_result(odd_page: Page) -> None:
    words = odd_page.words
    assert words.index("Only 12 distinct images") < words.index("What the generator makes")


def test_without_warnings_nothing_warns(page: Page) -> None:
    assert "Before you trust" not in page.words


def test_channels_in_no_module_are_listed(odd_page: Page) -> None:
    assert "have a flat map and are in no module: 2,5." in odd_page.words


def test_one_channel_one_module_one_grey_pair_makes_a_report(tmp_path: Path) -> None:
    section = make_section(None, channels=1, modules=1, colors=1, pairs=1, seeds=1)
    section = replace(
        section,
        maps_stderr=np.full_like(section.maps, np.nan),
        individual_stderr=np.full(1, np.nan),
        pairs_of=np.ones(1, int),
        probabilities=np.full((1, 1), np.nan),
        confidence_unknown="there is one pair",
    )
    page = rendered(make_data(section), tmp_path)
    words = page.words
    assert "That is not known: there is one pair." in words
    assert "sure of their module" not in words
    assert not [each for each in page.attributes("span") if "--parts" in (each.get("style") or "")]
    assert "Layer /dec/conv.1" in words
    assert "1 of 1 channel" in words
    assert "One pair gives no standard error" in words
    assert "ran with one seed" in words
    assert "nan" not in re.findall(r"[a-z]+", words)


def test_a_flat_template_has_no_ratio_and_no_nan_on_the_page(tmp_path: Path) -> None:
    section = make_section(modules=2, seeds=1)
    templates = section.templates.copy()
    templates[0, 1] = 0.0
    section = replace(section, templates=templates, change=np.array([[0.2, 0.1], [np.nan, 0.1]]))
    words = rendered(make_data(section), tmp_path).words
    assert NOWHERE in words
    assert "The hybrids of module 0 change more inside" in words
    assert "nan" not in re.findall(r"[a-z]+", words)


@pytest.mark.parametrize(
    ("agreement", "sentence"),
    [
        ([1.0, 0.95, 0.92], "3 of 3 seeds of the clustering agree with the first"),
        ([1.0, 0.95, 0.61], "2 of 3 seeds of the clustering agree with the first"),
        ([1.0, 0.70, 0.61], "None of the other 2 seeds of the clustering agrees"),
    ],
)
def test_seeds_that_agree_are_counted(agreement: list[float], sentence: str) -> None:
    section = replace(make_section(seeds=3), agreement=np.array(agreement))
    words = agreement_sentence(section)
    assert sentence in words
    assert f"agrees on {min(agreement):.0%}".replace("%", f"{SPACE}%") in words


@pytest.mark.parametrize(
    ("inside", "verdict"),
    [
        ([0.1, 0.1, 0.1], "The hybrids of no module change more inside their template"),
        ([0.3, 0.1, 0.1], "The hybrids of module 0 change more inside their template"),
        ([0.3, 0.1, 0.3], "The hybrids of modules 0 and 2 change more inside their template"),
        ([0.3, 0.3, 0.3], "The hybrids of all 3 modules change more inside their template"),
    ],
)
def test_only_hybrids_that_change_inside_their_template_are_said_to(
    inside: list[float], verdict: str
) -> None:
    section = replace(make_section(), change=np.column_stack([inside, [0.2] * 3]))
    assert layer_page(make_data(section), section, 1).verdict.startswith(verdict)


def test_seeds_that_find_the_same_are_a_line_and_others_a_table_of_pictures(
    page: Page, tmp_path: Path
) -> None:
    assert "The same templates from 5 seeds" not in page.words
    section = replace(make_section(seeds=3), agreement=np.array([1.0, 0.95, 0.5]))
    other = rendered(make_data(section), tmp_path)
    assert "The same templates from 3 seeds" in other.words
    assert f"seed 2 50{SPACE}%" in other.words


def test_the_example_is_sharp_and_changes_much_and_the_page_says_so(page: Page) -> None:
    section = make_section("intermediate", pairs=4)
    rng = np.random.default_rng(0)
    sharp = rng.uniform(-1, 1, section.original1.shape)
    plain = np.zeros(sharp.shape[1:])
    # Pair 0 changes most but is plain; 1 has one plain original; 2 and 3 are sharp, 3 changes more.
    original1, original2 = sharp.copy(), sharp[::-1].copy()
    original1[0], original2[1] = plain, plain
    steps = np.array([0.9, 0.8, 0.1, 0.2])[None, :, None, None, None]
    section = replace(
        section,
        original1=original1,
        original2=original2,
        hybrids=np.repeat(original1[None], 3, axis=0) + steps,
        change=np.array([[0.1, 0.1], [0.1, 0.1], [0.4, 0.1]]),
    )
    found = choose_example(make_data(make_section("coarse"), section))
    assert (found.section, found.module, found.pair) == (section, 2, 3)
    assert "Nobody picked this example" in page.words


def test_measurements_are_sorted_with_their_deviation_and_in_words() -> None:
    rows = measurements(
        {
            "loss_of_mine": 0.5,
            "kernel_halves": -0.000127,
            "kernel_halves_deviation": 0.000526,
            "frechet_prior_deviation": 0.38123,
            "frechet_prior": 19.1598,
            "alone_deviation": 0.1,
        }
    )
    assert [(row.name, row.value) for row in rows] == [
        ("alone deviation", "0.1"),
        ("Fréchet distance: samples from the prior", "19.16 ± 0.38"),
        ("Kernel distance: the other half of the real images", "-0.00013 ± 0.00053"),
        ("loss of mine", "0.5"),
    ]


def test_measurements_are_folded(page: Page) -> None:
    tags = [tag for tag, _ in page.elements]
    assert tags.index("details") < len(tags) - tags[::-1].index("table")
    assert "kl" not in re.findall(r"[a-z_]+", page.words)


def test_layers_of_one_name_get_files_of_their_own(folder: Path) -> None:
    names = {path.name for path in (folder / "figures").iterdir()}
    assert {"samples.png", "graft.png", "1-dec-conv-1-maps.png", "2-dec-conv-1-maps.png"} <= names


def test_sections_whose_arrays_do_not_fit_are_refused() -> None:
    section = make_section()
    with pytest.raises(ValueError, match=r"labels has shape \(5, 11\), not \(5, 12\)"):
        replace(section, labels=section.labels[:, 1:])
    with pytest.raises(ValueError, match="labels must lie from -1 to 2"):
        replace(section, labels=section.labels + 1)


def test_a_report_without_a_layer_is_refused() -> None:
    data = make_data(make_section())
    with pytest.raises(ValueError, match="at least one layer"):
        replace(data, sections=())


def test_a_missing_jinja_is_named_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ReportExtraError, match=r"Jinja2.*pip install 'graftscope\[report\]'"):
        render_report(make_data(make_section(seeds=1)), tmp_path)
    assert not list(tmp_path.iterdir())


def weak(section: LayerSection, factor: float = 1e-4) -> LayerSection:
    """The same section of a generator whose channels do next to nothing."""
    return replace(
        section,
        maps=section.maps * factor,
        individual=section.individual * factor,
        individual_stderr=section.individual_stderr * factor,
        module_maps=section.module_maps * factor,
        module_individual=section.module_individual * factor,
        module_individual_stderr=section.module_individual_stderr * factor,
        change=section.change * factor,
    )


def test_a_generator_that_does_nothing_is_warned_of_and_not_praised(tmp_path: Path) -> None:
    samples = np.full((6, 3, 16, 16), 0.2)
    samples[0] += 1e-4
    words = rendered(make_data(weak(make_section()), samples=samples), tmp_path).words
    assert words.index("The samples hardly differ") < words.index("What the generator makes")
    assert "even the strongest channel changes the average pixel by only" in words
    assert NOTHING_TO_SAY in words
    for praise in ("seeds of the clustering", "change more inside", f"2.5{SPACE}times as"):
        assert praise not in words
    assert f"0.0015{SPACE}%" in words, "0.00003 of a range 2 wide is not zero"


def test_weak_channels_are_warned_of_though_samples_differ(tmp_path: Path) -> None:
    words = rendered(make_data(weak(make_section(), 0.01)), tmp_path).words
    assert "In the coarse layer even the strongest channel" in words
    assert "The samples hardly differ" not in words
    assert NOTHING_TO_SAY in words


def test_few_pairs_are_warned_of_and_the_finding_qualified(tmp_path: Path) -> None:
    section = make_section()
    section = replace(
        section,
        individual_stderr=section.individual * 0.2,
        pairs_of=np.full(12, 8),
        probabilities=np.full((12, 3), np.nan),
        confidence_unknown="8 pairs are too few",
    )
    words = rendered(make_data(section), tmp_path).words
    assert "8 pairs are few" in words
    assert f"individual influence is 20{SPACE}% in the median" in words
    assert "this is a first impression, not a finding" in words


def test_modules_measured_on_the_pairs_that_found_them_are_said_to_be(tmp_path: Path) -> None:
    words = rendered(make_data(replace(make_section(), fresh_pairs=False)), tmp_path).words
    assert "the same 200 pairs that the modules were found with" in words
    assert "not used to find" not in words


@pytest.mark.parametrize(
    ("share", "digits", "words"),
    [(0.123, 1, "12.3"), (0.0034, 0, "0.34"), (0.0000256, 1, "0.0026"), (0.0, 1, "0.0")],
)
def test_small_percentages_keep_two_digits(share: float, digits: int, words: str) -> None:
    assert percent(share, digits) == f"{words}{SPACE}%"


def test_the_conclusion_tells_consistency_beside_chance() -> None:
    section = replace(make_section(), consistency=Consistency(0.92, 0.08, 0.48, 20))
    told = consistency_sentence(section)
    assert f"{percent(0.92)} ± {percent(0.08)}" in told
    assert percent(0.48) in told
    assert "20 partitions" in told
    assert told in stability(make_data(section), section)
    assert stability_words(make_data(section), section).startswith(
        f"{percent(0.92)} of the labels stay with other channels at hand"
    )


def test_nothing_is_said_of_a_consistency_that_is_not_known() -> None:
    section = make_section()
    assert consistency_sentence(section) == ""
    assert "  " not in stability(make_data(section), section)
    assert stability_words(make_data(section), section) == "5 of 5 seeds agree"


def test_a_layer_says_how_its_modules_are_grafted_by_hand(tmp_path: Path) -> None:
    small = make_section(None, channels=1, modules=1, colors=1, pairs=1, seeds=1)
    names = ("linked", "told", "neither")
    begun = "graftscope hybridize --model vae --server lab:1"
    linked = ByHand("graftscope explore --layer linked --server lab:1", begun, "https://lab/#2.abc")
    told = ByHand("graftscope explore --layer told --server lab:1", begun)
    sections = [replace(small, layer=name) for name in names]
    page = rendered(make_data(*sections, by_hand={"linked": linked, "told": told}), tmp_path)
    assert page.words.count("Graft by hand") == 2
    assert linked.command in page.words
    assert told.command in page.words
    assert page.words.count(f"{begun} --intervene") == 2
    assert page.words.count("hybridize --bundle BUNDLE --intervene") == 1
    addresses = [each["href"] or "" for each in page.attributes("a")]
    assert [each for each in addresses if each.startswith("http")] == [linked.link]
    assert "" not in addresses
