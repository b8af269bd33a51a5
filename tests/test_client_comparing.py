"""Facts about comparing modules: known matches, and numbers that others compute too."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score

from graftscope.client import ModulesResult, Source, compare
from graftscope.client.cli import run
from graftscope.client.comparing import best_match
from graftscope.client.comparing._matching import adjusted_rand
from graftscope.client.errors import InputError
from graftscope.client.figures import comparison_figure, figure_png
from test_client_saved import MODULES

RANDOM = np.random.default_rng(0)
SIDE, K = 12, 4
ORDER = np.array([2, 0, 3, 1])


def blocks(side: int = SIDE) -> NDArray[np.float64]:
    """(K, side, side): a template for each quarter of the image, none of which overlap."""
    found = np.zeros((K, side, side))
    half = side // 2
    for at in range(K):
        row, column = divmod(at, 2)
        found[at, row * half :, column * half :][:half, :half] = 1.0
    return found


def modules(
    templates: NDArray[np.float64], labels: NDArray[np.int64], source: Source | None = None
) -> ModulesResult:
    count, k = len(labels), len(templates)
    return replace(
        MODULES,
        labels=labels,
        templates=templates,
        weights=np.zeros((count, k)),
        purity=np.ones(count),
        seeds=(),
        seed_labels=np.empty((0, count), np.int64),
        seed_templates=np.empty((0, *templates.shape)),
        agreement=np.empty(0),
        cosine=np.empty(0),
        probabilities=np.full((count, k), np.nan),
        source=source,
    )


@pytest.mark.parametrize("shape", [(1, 1), (4, 4), (3, 7), (7, 3), (1, 6), (10, 10), (24, 17)])
def test_the_best_match_is_that_of_the_hungarian_method(shape: tuple[int, int]) -> None:
    for _ in range(20):
        values = RANDOM.uniform(-1, 1, shape)
        found = best_match(values)
        rows, columns = linear_sum_assignment(values, maximize=True)
        np.testing.assert_array_equal(found, np.stack([rows, columns], axis=1))


def test_the_best_match_of_equal_values_is_as_good_as_any() -> None:
    values = RANDOM.integers(0, 3, (9, 6)).astype(float)
    rows, columns = best_match(values).T
    assert (len(set(rows)), len(set(columns))) == (6, 6)
    best = values[linear_sum_assignment(values, maximize=True)].sum()
    assert values[rows, columns].sum() == best


def test_the_adjusted_rand_index_is_scikit_learns() -> None:
    for k in (2, 3, 6):
        a, b = RANDOM.integers(0, k, (2, 60))
        b[:30] = a[:30]
        assert adjusted_rand(a, b) == pytest.approx(adjusted_rand_score(a, b))
    some = np.where(RANDOM.random(60) < 0.2, -1, a)
    of = some >= 0
    assert adjusted_rand(some, b) == pytest.approx(adjusted_rand_score(some[of], b[of]))
    assert adjusted_rand(a, (a + 1) % 6) == 1.0
    assert np.isnan(adjusted_rand(np.zeros(5, np.int64), np.zeros(5, np.int64)))


def test_a_permuted_copy_is_matched_perfectly() -> None:
    templates, labels = RANDOM.random((K, SIDE, SIDE)), RANDOM.integers(0, K, 40)
    source = Source("toy", "0" * 64, "fc", "operations/1")
    a = modules(templates, labels, source)
    b = modules(3.0 * templates[ORDER], np.argsort(ORDER)[labels], source)
    found = compare(a, b)
    assert dict(found.pairs.tolist()) == {int(at): place for place, at in enumerate(ORDER)}
    for numbers in (found.cosine, found.correlation, found.overlap):
        np.testing.assert_allclose(numbers, 1.0, rtol=1e-12)
    assert (found.only_a, found.only_b) == ((), ())
    assert (found.agreement, found.adjusted_rand) == (1.0, 1.0)
    np.testing.assert_array_equal(found.sizes_a, np.bincount(labels, minlength=K))


def test_blocks_go_with_themselves_at_another_size_and_with_nothing_else() -> None:
    found = compare(blocks(), blocks(5 * SIDE)[ORDER])
    assert {(int(a), int(b)) for a, b in found.pairs} == {
        (int(at), i) for i, at in enumerate(ORDER)
    }
    np.testing.assert_allclose(found.similarity, np.eye(K)[:, ORDER], atol=1e-12)
    np.testing.assert_allclose(found.overlap, 1.0)
    assert found.templates_b.shape == (K, SIDE, SIDE)


def test_what_has_no_counterpart_is_named() -> None:
    found = compare(blocks()[[0, 1, 2]], blocks()[[1, 3]])
    assert found.pairs.tolist() == [[1, 0]]
    assert (found.only_a, found.only_b) == ((0, 2), (1,))
    assert len(compare(blocks()[[0, 1, 2]], blocks()[[1, 3]], at_least=0.0).pairs) == 2


def test_half_of_a_block_has_the_numbers_that_one_computes_by_hand() -> None:
    half = blocks()[:1].copy()
    half[0, : SIDE // 4] = 0.0  # a half of the quarter
    found = compare(blocks()[:1], half)
    assert found.cosine[0] == pytest.approx(np.sqrt(0.5))
    assert found.overlap[0] == pytest.approx(0.5)
    a, b = blocks()[0].ravel(), half[0].ravel()
    assert found.correlation[0] == pytest.approx(np.corrcoef(a, b)[0, 1])


def test_a_template_that_is_the_same_everywhere_correlates_with_nothing() -> None:
    found = compare(np.full((1, 4, 4), 0.1), np.full((1, 4, 4), 0.3))
    assert (found.cosine[0], found.correlation[0]) == (pytest.approx(1.0), 0.0)
    nothing = compare(np.zeros((1, 4, 4)), blocks(4)[:1])
    assert (len(nothing.pairs), nothing.similarity[0, 0]) == (0, 0.0)


def test_channels_in_other_modules_count_against_the_agreement() -> None:
    source = Source("toy", "0" * 64, "fc", "operations/1")
    labels = np.array([0, 0, 1, 1, 2, 3, -1, -1])
    other = np.array([0, 1, 1, 1, 2, -1, 3, -1])
    found = compare(modules(blocks(), labels, source), modules(blocks(), other, source))
    assert found.agreement == 4 / 7  # the last is in none in both


def test_channels_of_other_layers_are_compared_only_where_one_says_so() -> None:
    labels = np.arange(8) % K
    here, there = (Source("toy", "0" * 64, layer, "") for layer in ("fc", "conv1"))
    found = compare(modules(blocks(), labels, here), modules(blocks(), labels, there))
    assert np.isnan(found.agreement)
    assert np.isnan(found.adjusted_rand)
    unknown = [modules(blocks(), labels), modules(blocks(), labels)]
    assert np.isnan(compare(*unknown).agreement)
    assert compare(*unknown, same_channels=True).agreement == 1.0
    with pytest.raises(InputError, match="the first are of 8 channels, the second of 4"):
        compare(unknown[0], modules(blocks(), np.arange(4)), same_channels=True)
    with pytest.raises(InputError, match="templates alone have no labels"):
        compare(blocks(), blocks(), same_channels=True)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((4, 4)), r"a <float64 \(4, 4\)>: give modules, or their \(K, H, W\) templates"),
        (np.full((1, 2, 2), np.nan), "a: 4 of 4 values are NaN"),
        ("modules.npz", "a 'modules.npz' is not an array of numbers"),
    ],
)
def test_what_is_no_modules_is_refused(given: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        compare(given, blocks())


@pytest.mark.parametrize(("a", "b"), [(1, 1), (3, 5), (12, 3), (24, 24)])
def test_every_number_of_modules_is_drawn(a: int, b: int) -> None:
    found = compare(RANDOM.random((a, 8, 6)), RANDOM.random((b, 8, 6)))
    figure = comparison_figure(
        found.templates_a, found.templates_b, found.pairs, found.cosine, found.overlap
    )
    assert figure.get_size_inches()[0] <= 10.8
    assert figure_png(figure).startswith(b"\x89PNG")


def test_the_verb_says_what_the_function_finds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = RANDOM.integers(0, K, 24)
    source = Source("toy", "0" * 64, "fc", "operations/1")
    a, b, out = (tmp_path / name for name in ("a.npz", "b.npz", "out.png"))
    modules(blocks(), labels, source).save(a)
    modules(blocks()[ORDER][:3], np.argsort(ORDER)[labels].clip(max=2), source).save(b)
    assert run(["compare", str(a), str(b), "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert "3 pairs of modules that act in the same places" in told
    assert "without a partner in B: A's 1" in told
    assert "% of the channels are in modules that are a pair; adjusted Rand" in told
    assert out.read_bytes().startswith(b"\x89PNG")
    assert run(["compare", str(a), str(b), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["only_a"] == [1]
    assert [row["cosine"] for row in document["pairs"]] == pytest.approx([1.0] * 3)
    assert document["pairs"][0]["module_a"] == ORDER[document["pairs"][0]["module_b"]]
    assert run(["compare", str(a), str(tmp_path / "none.npz")]) == 3
    assert run(["compare", str(a), str(b), "--at-least", "2"]) == 4
    assert "--at-least 2 is not allowed: it must be from 0 to 1" in capsys.readouterr().err
