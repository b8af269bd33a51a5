"""Modules of a generator whose modules are known are found exactly, and so is their number."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from google.longrunning import operations_pb2

from graftscope.server.analysis import agreement
from graftscope.v1 import analysis_service_pb2
from request_toys import channels as named
from request_toys import each_of, edit, influence, inline, magnitude, modules, pairs, result
from request_toys import stability as comparisons
from server_toys import Stubs, influence_of, served
from torch_toys import BUMP_GROUPS

MODEL = "models/toy-bumps"
LAYER = "fc"
PAIRS = 40
TRUE_K = 4
METHODS = tuple(range(1, 5))
"""NMF, k-means, PCA, spectral."""
# Runs of another size may be added up in another order.
TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def server(bumps_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stubs]:
    with served([bumps_bundle], tmp_path_factory.mktemp("bumps")) as stubs:
        yield stubs


@pytest.fixture(scope="module")
def maps(server: Stubs) -> operations_pb2.Operation:
    """Influence of every channel, with the products of their effects."""
    request = influence(model=MODEL, layer=LAYER, pairs=pairs(count=PAIRS, seed=1), products=True)
    return server.wait(server.analyses.Influence(request))


@pytest.fixture(scope="module")
def grown(server: Stubs) -> analysis_service_pb2.MagnitudeResponse:
    """Magnitude of 2 to 5 modules by NMF."""
    request = magnitude(
        model=MODEL, layers=[LAYER], ks=[2, 3, 4, 5], pairs=pairs(count=PAIRS, seed=1)
    )
    ended = server.wait(server.analyses.Magnitude(request))
    response = analysis_service_pb2.MagnitudeResponse()
    assert ended.response.Unpack(response), ended.error
    return response


def columns(
    server: Stubs, response: analysis_service_pb2.MagnitudeResponse
) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    names = ("layer", "k", "module", "channels", "share", "individual", "individual_stderr")
    return {name: server.numbers(getattr(response, name)) for name in names}


@pytest.mark.parametrize("method", METHODS)
def test_the_groups_of_channels_are_found_exactly(
    server: Stubs, maps: operations_pb2.Operation, method: int
) -> None:
    request = modules(
        maps=result(maps.name),
        products=result(maps.name, "products"),
        k=TRUE_K,
        method=method,
        seeds=[0, 1, 2],
    )
    ended = server.wait(server.analyses.Modules(request))
    response = analysis_service_pb2.ModulesResponse()
    assert ended.response.Unpack(response), ended.error
    labels = server.numbers(response.labels).astype(np.int64)
    assert agreement(labels, np.array(BUMP_GROUPS)) == 1.0
    assert (response.method, response.seeds_agreeing, response.impure) == (method, 3, 0)


def test_the_number_of_groups_is_suggested_by_every_method(
    server: Stubs, maps: operations_pb2.Operation
) -> None:
    request = comparisons(
        maps=result(maps.name), products=result(maps.name, "products"), methods=METHODS, repeats=10
    )
    ended = server.wait(server.analyses.Stability(request))
    response = analysis_service_pb2.StabilityResponse()
    assert ended.response.Unpack(response), ended.error
    ks = server.numbers(response.k).astype(int).tolist()
    assert ks == list(range(2, 11))
    assert response.channels == len(BUMP_GROUPS)
    consistency = server.numbers(response.consistency)
    assert consistency.shape == (len(METHODS), len(ks), 10)
    np.testing.assert_array_equal(consistency[:, ks.index(TRUE_K)], 1.0)
    cosine = server.numbers(response.cosine)[:, ks.index(TRUE_K)]
    # Bumps of one group differ a little, so templates of different channels do.
    assert cosine.min() > 0.9
    for method, suggested in zip(METHODS, response.suggested, strict=True):
        assert (suggested.method, suggested.k) == (method, TRUE_K), suggested.reason
        assert suggested.consistency == 1.0
        assert suggested.reason.startswith(f"K = {TRUE_K}: 1.00 of the labels agree")


def test_the_magnitude_of_a_module_is_its_influence_on_the_pairs_that_follow(
    server: Stubs, maps: operations_pb2.Operation, grown: analysis_service_pb2.MagnitudeResponse
) -> None:
    table = columns(server, grown)
    after = pairs(count=PAIRS, first=PAIRS, seed=1)
    for k in (2, 3, 4, 5):
        found = server.wait(server.analyses.Modules(modules(maps=result(maps.name), k=k)))
        request = influence(
            model=MODEL, layer=LAYER, pairs=after, each_module=result(found.name, "labels")
        )
        plain = influence_of(server.wait(server.analyses.Influence(request)))
        rows = table["k"] == k
        np.testing.assert_array_equal(table["module"][rows], server.numbers(plain.channels))
        for name in ("individual", "individual_stderr"):
            expected = server.numbers(getattr(plain, name))
            np.testing.assert_allclose(table[name][rows], expected, rtol=0, atol=TOLERANCE)


def test_the_modules_of_one_number_hold_every_channel_once(
    server: Stubs, grown: analysis_service_pb2.MagnitudeResponse
) -> None:
    table = columns(server, grown)
    assert {len(column) for column in table.values()} == {2 + 3 + 4 + 5}
    assert not table["layer"].any()
    for k in (2, 3, 4, 5):
        assert table["channels"][table["k"] == k].sum() == len(BUMP_GROUPS)
    np.testing.assert_array_equal(table["channels"][table["k"] == TRUE_K], 6)
    np.testing.assert_allclose(table["share"], table["channels"] / len(BUMP_GROUPS))
    assert list(grown.layers) == [LAYER]
    assert (grown.pairs, grown.originals, grown.range_width) == (PAIRS, "prior", 2.0)


@pytest.mark.parametrize(
    ("lines", "predictor"), [("by_share", "share"), ("by_channels", "channels")]
)
def test_the_lines_are_those_of_numpys_polyfit(
    server: Stubs, grown: analysis_service_pb2.MagnitudeResponse, lines: str, predictor: str
) -> None:
    table = columns(server, grown)
    x, y = table[predictor], table["individual"]
    (slope, intercept), covariance = np.polyfit(x, y, 1, cov=True)
    left = y - (slope * x + intercept)
    layer, pooled = getattr(grown, lines)
    assert (layer.layer, pooled.layer) == (LAYER, "")
    for line in (layer, pooled):
        assert line.rows == len(x)
        np.testing.assert_allclose(
            [line.slope, line.intercept, line.r2, line.slope_stderr, line.residual],
            [
                slope,
                intercept,
                1 - (left**2).sum() / ((y - y.mean()) ** 2).sum(),
                np.sqrt(covariance[0, 0]),
                np.sqrt((left**2).sum() / (len(x) - 2)),
            ],
            rtol=1e-9,
        )


def test_a_map_comes_with_every_intervention(server: Stubs, maps: operations_pb2.Operation) -> None:
    """Single channels as interventions give what they give as channels, and sets may overlap."""
    sets = ((3,), (0, 4, 8), (3, 0))
    asked = each_of(*([edit(layer=LAYER, channels=named(*each))] for each in sets))
    request = influence(
        model=MODEL, layer=LAYER, pairs=pairs(count=PAIRS, seed=1), each_intervention=asked
    )
    ended = server.wait(server.analyses.Influence(request))
    found = influence_of(ended)
    np.testing.assert_array_equal(server.numbers(found.channels), [0, 1, 2])
    each_channel = server.numbers(influence_of(maps).maps)
    got = server.numbers(found.maps)
    np.testing.assert_allclose(got[0], each_channel[3], rtol=0, atol=TOLERANCE)
    labels = np.full(len(BUMP_GROUPS), -1)
    labels[[0, 4, 8]] = 0
    request = influence(
        model=MODEL, layer=LAYER, pairs=pairs(count=PAIRS, seed=1), each_module=inline(labels)
    )
    module = server.wait(server.analyses.Influence(request))
    module_map = server.numbers(influence_of(module).maps)[0]
    np.testing.assert_allclose(got[1], module_map, rtol=0, atol=TOLERANCE)
    # Channels 0 and 3 paint different quarters, so their effects add up.
    together = each_channel[3] + each_channel[0]
    np.testing.assert_allclose(got[2], together, rtol=0, atol=TOLERANCE)
