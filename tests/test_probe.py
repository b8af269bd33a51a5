"""Facts about probing: a classifier that looks at one region minds the module that draws it alone.

Of `toy-blocks` channels 0 and 1 draw the left half of the image, 2 and 3 the right half.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from _cli_shell import Shell, arrays
from classifier_toys import described, looks_at, mean_colours
from executor_toys import generator_of
from graftscope.client import Client, ImageNetwork, Preprocessing, ProbeResult, StatedPreprocessing
from graftscope.client.errors import GraftscopeError, InputError, NotFoundError
from graftscope.client.values import Layout
from graftscope.server.engine import PriorPairs
from graftscope.server.worth import Making, Modules, Probe, in_order
from server_toys import served

BLOCKS, LAYER = "toy-blocks", "fc"
LABELS = np.array([0, 0, 1, 1])
LEFT, RIGHT = 0, 1
PAIRS = 200
LEFT_HALF, RIGHT_HALF = (0, 4), (4, 8)
LEVELS = (0.07, 0.215)
"""About the medians of the halves' mean colours."""
CENTRED = Preprocessing(low=-1.0, high=1.0)


@pytest.fixture(scope="module")
def address(block_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served([block_bundle], tmp_path_factory.mktemp("state")) as stubs:
        yield stubs.address


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classifiers")
    sides = described(("light", "dark"))
    (folder / "left.onnx").write_bytes(looks_at([LEFT_HALF], sides, LEVELS[:1]))
    (folder / "right.onnx").write_bytes(looks_at([RIGHT_HALF], sides, LEVELS[1:]))
    both = described(("left is light", "right is light"), exclusive=False)
    (folder / "both.onnx").write_bytes(looks_at([LEFT_HALF, RIGHT_HALF], both, LEVELS))
    return folder


def probed(client: Client, *classifiers: Any, **said: Any) -> ProbeResult:
    asked = {"pairs": PAIRS, "controls": 3, "seed": 3, **said}
    return client.probe(BLOCKS, LAYER, LABELS, list(classifiers), **asked)


def shares(result: ProbeResult, classifier: int, module: int) -> tuple[float, ...]:
    (at,) = result.places("module", module)
    names = ("stays", "becomes", "neither")
    return tuple(float(getattr(result, name)[classifier, at]) for name in names)


def test_a_region_is_minded_by_who_looks_there_and_by_nobody_else(
    client: Client, files: Path
) -> None:
    found = probed(client, files / "left.onnx", files / "right.onnx")
    assert [each.name for each in found.classifiers] == ["left", "right"]
    assert (found.pairs, found.modules, found.layer) == (PAIRS, (LEFT, RIGHT), LAYER)
    assert (found.differ > 50).all()
    assert (found.differ + found.same == PAIRS).all()
    for classifier, minded, other in ((0, LEFT, RIGHT), (1, RIGHT, LEFT)):
        assert shares(found, classifier, minded) == (0.0, 1.0, 0.0)
        assert shares(found, classifier, other) == (1.0, 0.0, 0.0)
        assert found.judged[classifier, other] == 1
        assert found.judged[classifier, minded] == -1
        (at,) = found.places("layer")
        assert found.becomes[classifier, at] == 1.0
        assert found.same_stays[classifier, [*found.places("module"), at]].tolist() == [1.0] * 3
    assert found.stays_low[0, LEFT] == 0.0
    assert 0.9 < found.becomes_low[0, LEFT] < found.becomes_high[0, LEFT] == 1.0
    assert found.kinds == ("module",) * 2 + ("count",) * 6 + ("layer",)
    assert found.channels.tolist() == [2] * 8 + [4]


def test_every_number_is_that_of_a_slow_count(block_bundle: Path) -> None:
    generator = generator_of(block_bundle)
    making = Making(generator, PriorPairs(generator, seed=5))
    layer, pairs = making.layer(LAYER), range(7, 107)

    class Left:
        name, classes, exclusive = "left", (), True

        def said(self) -> dict[str, Any]:
            return {"sha256": "0"}

        def __call__(self, images: Any, low: float, high: float) -> Any:
            assert (low, high) == (-1.0, 1.0)
            mean = mean_colours(images, *LEFT_HALF) - LEVELS[0]
            return np.stack([mean, 0.3 * np.abs(mean), -mean], axis=1).astype(np.float32)

    probe = Probe(making, layer, Modules(LABELS), [Left()], 3, 4, pairs.start, len(pairs))
    assert (probe.pieces, probe.hybrids) == (4, 900)
    found = probe.run(in_order)
    one, two = (Left()(x, -1, 1) for x in making.originals(pairs))
    first, second = one.argmax(axis=1), two.argmax(axis=1)
    np.testing.assert_array_equal(found.arrays["class1"][0], first)
    np.testing.assert_array_equal(found.arrays["class2"][0], second)
    sets = np.stack([each.channels for each in probe.sets])
    assert sets.sum(axis=1).tolist() == [2] * 8 + [4]
    for at, images in enumerate(making.hybrids(layer, pairs, sets)):
        scores = Left()(images, -1, 1).astype(np.float64)
        made = scores.argmax(axis=1)
        differ = first != second
        stays = (made == first)[differ].mean()
        assert found.arrays["stays"][0, at] == pytest.approx(stays)
        assert found.arrays["becomes"][0, at] == pytest.approx((made == second)[differ].mean())
        assert found.arrays["same_stays"][0, at] == pytest.approx((made == first)[~differ].mean())
        odds = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        entropy = -(odds * np.log(odds)).sum(axis=1)
        assert found.arrays["entropy"][0, at] == pytest.approx(entropy.mean())
        error = entropy.std(ddof=1) / np.sqrt(len(pairs))
        assert found.arrays["entropy_stderr"][0, at] == pytest.approx(error)
    controls = found.arrays["stays"][0, 2:5]
    apart = found.arrays["stays"][0, 0] - controls.mean()
    assert found.arrays["verdict"][0, 0] == pytest.approx(apart)


def test_counts_by_pairs_of_classes_add_up(client: Client, files: Path) -> None:
    found = probed(client, files / "left.onnx")
    assert found.classifiers[0].classes == ("light", "dark")
    for at in range(len(found.kinds)):
        rows = found.pair_set == at
        assert found.pair_count[rows].sum() == PAIRS
        counted = found.pair_stays + found.pair_becomes + found.pair_neither
        np.testing.assert_array_equal(counted[rows], found.pair_count[rows])
        apart = rows & (found.pair_class1 != found.pair_class2)
        share = found.pair_stays[apart].sum() / found.pair_count[apart].sum()
        assert found.stays[0, at] == pytest.approx(share)
    assert len(found.attribute_set) == 0
    first = (found.class1[0] == 0).sum()
    assert first == found.pair_count[(found.pair_set == 0) & (found.pair_class1 == 0)].sum()


def test_of_attributes_the_sign_is_told_of_each(client: Client, files: Path) -> None:
    found = probed(client, files / "both.onnx", files / "left.onnx")
    assert [each.exclusive for each in found.classifiers] == [False, True]
    assert (found.class1[0] == -1).all()
    assert (found.pair_classifier == 1).all()
    for at in found.places("module"):
        module = int(found.module[at])
        for attribute in (LEFT, RIGHT):
            (row,) = np.flatnonzero(
                (found.attribute_set == at) & (found.attribute_index == attribute)
            )
            differ, stays = found.attribute_differ[row], found.attribute_stays[row]
            assert differ + found.attribute_same[row] == PAIRS
            assert stays == (0 if attribute == module else differ)
            assert found.attribute_same_stays[row] == found.attribute_same[row]
        own = found.attribute_differ[(found.attribute_set == at)]
        expected = own[[x for x in (LEFT, RIGHT) if x != module]].sum() / own.sum()
        assert found.stays[0, at] == pytest.approx(expected)
        assert found.neither[0, at] == 0
    # The same network without metadata: whoever asks says that its scores are attributes.
    plain = ImageNetwork(
        file=looks_at([LEFT_HALF, RIGHT_HALF], None, LEVELS),
        preprocessing=CENTRED,
        attributes=True,
        title="mine",
    )
    again = probed(client, plain)
    assert (again.classifiers[0].name, again.classifiers[0].exclusive) == ("mine", False)
    np.testing.assert_array_equal(again.stays[0], found.stays[0])


def test_preprocessing_is_stated_and_acts(client: Client) -> None:
    shifted = Preprocessing(low=0.0, high=2.0, mean=[1.07] * 3, deviation=[2.0] * 3)
    sized = Preprocessing(height=8, width=16, low=-1.0, high=1.0, bgr=True)
    data = looks_at([LEFT_HALF])
    networks = [
        ImageNetwork(file=data, preprocessing=each, title=title)
        for title, each in (("shifted", shifted), ("sized", sized), ("plain", None))
    ]
    found = probed(client, *networks)
    told = [each.preprocessing for each in found.classifiers]
    assert told[0] == StatedPreprocessing(
        4, 8, 0.0, 2.0, (1.07, 1.07, 1.07), (2.0, 2.0, 2.0), Layout.NCHW, False
    )
    assert (told[1].height, told[1].width, told[1].bgr) == (8, 16, True)
    assert "8 x 16 pixels from -1 to 1, (B, C, H, W), blue first" in str(told[1])
    assert (told[2].low, told[2].high) == (0.0, 1.0)
    assert shares(found, 0, LEFT) == (0.0, 1.0, 0.0)
    # Of colours from 0 to 1 the mean is never below 0: everything is of one class.
    assert (found.differ[2], found.same[2]) == (0, PAIRS)
    assert np.isnan(found.stays[2]).all()
    assert np.isnan(found.verdict[2]).all()
    assert len({each.sha256 for each in found.classifiers}) == 1


def test_a_result_is_saved_and_comes_back(client: Client, files: Path, tmp_path: Path) -> None:
    found = probed(client, files / "both.onnx", files / "left.onnx", pairs=40)
    found.save(tmp_path / "probe.npz")
    again = ProbeResult.load(tmp_path / "probe.npz")
    assert again == found
    assert again.which("left") == 1
    columns = again.columns()
    assert len(columns["stays"]) == again.stays.size
    assert set(columns["classifier"]) == {"both", "left"}
    assert "module 0" in again._repr_html_()
    bars = [axes for axes in again.plot().axes if len(axes.get_yticks()) == 4]
    assert len(bars) == 2


@pytest.mark.parametrize(
    ("classifiers", "kind", "message"),
    [
        (["nobody"], NotFoundError, "no network 'nobody' comes"),
        ([], InputError, "no classifiers: name at least one"),
        ([ImageNetwork(file=b"not one", title="bad")], GraftscopeError, "'bad'"),
        (
            [ImageNetwork(file=looks_at([LEFT_HALF]), classes=["a"], title="short")],
            InputError,
            "short has 2 scores, and 1 classes are named",
        ),
        (
            [ImageNetwork(file=looks_at([LEFT_HALF]), output="logits", title="other")],
            InputError,
            "output 'logits' is not in the network; it has: scores",
        ),
    ],
)
def test_a_classifier_that_cannot_be_asked_is_refused(
    client: Client, classifiers: list[Any], kind: type[GraftscopeError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        probed(client, *classifiers)


def test_the_verb_says_it_in_a_table(shell: Shell, files: Path, tmp_path: Path) -> None:
    weights = np.eye(2)[LABELS]
    np.savez(tmp_path / "modules.npz", labels=LABELS, weights=weights, templates=np.ones((2, 4, 8)))
    given = ("probe", "--model", BLOCKS, "--layer", LAYER, "--modules", tmp_path / "modules.npz")
    asked = (*given, "--classifier", files / "left.onnx", "--pairs", 60)
    estimate = shell.json(*asked, "--dry-run")["estimate"]
    assert estimate["hybrids"] == 60 * (2 + 2 * 4 + 1)
    out = tmp_path / "probe.npz"
    code, text, _ = shell(*asked, "--out", out)
    assert code == 0
    assert "module 0" in text
    assert "0% (0% to" in text
    assert "module 1 is minded less than random sets by left" in text
    document = shell.json(*asked)
    assert document["classifiers"][0]["name"] == "left"
    assert document["classifiers"][0]["preprocessing"]["low"] == -1.0
    assert "class1" not in document
    np.testing.assert_array_equal(arrays(out)["stays"], document["stays"])
    code, line = shell.refused(*given, "--size", 8)
    assert code == 2
    assert "--classifier FILE.onnx" in line
    twice = shell.json(
        *asked, "--low", -1, "--mean", "0.5,0.5,0.5", "--classifier", files / "both.onnx"
    )
    assert [each["name"] for each in twice["classifiers"]] == ["left", "both"]
    assert twice["classifiers"][1]["preprocessing"]["mean"] == [0.5, 0.5, 0.5]
