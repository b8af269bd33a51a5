"""What the fake server's analyses answer about the toy of `_fake_model`: arrays, and lines."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from _fake_model import CHANNELS, influence
from graftscope.v1 import analysis_service_pb2

Arrays = dict[str, NDArray[Any]]

LAYERS = {"coarse": "conv1", "intermediate": "conv2"}
IMPURE_CHANNEL = 5
CORRECTED_PAIRS = 16


def influence_arrays(
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    names: Sequence[int],
    sets: Sequence[Sequence[int]],
    products: bool,
) -> Arrays:
    """Maps of sets of channels over given pairs."""
    every = influence(first, second, sets)  # (B, E, H, W)
    count = len(every)
    spread = every.std(axis=0, ddof=1) if count > 1 else np.full_like(every[0], np.nan)
    means = every.mean(axis=(2, 3))
    mean_spread = means.std(axis=0, ddof=1) if count > 1 else np.full(len(sets), np.nan)
    found: Arrays = {
        "maps": every.mean(axis=0),
        "stderr": spread / np.sqrt(count),
        "individual": means.mean(axis=0),
        "individual_stderr": mean_spread / np.sqrt(count),
        "channels": np.array(names, np.int64),
        **groups_arrays(every),
    }
    if products:
        pixels = every[0, 0].size
        found["products"] = np.einsum("behw,bfhw->ef", every, every) / (count * pixels)
    return found


def corrections(arrays: Arrays) -> Arrays:
    """What an influence below float32 tells of its correction."""
    individual = arrays["individual"]
    return {"correction": -0.001 * individual, "correction_stderr": 0.0001 * individual}


def groups_arrays(every: NDArray[Any]) -> Arrays:
    """Means over each half of the pairs' maps, (B, E, H, W)."""
    halves = [each for each in np.array_split(every, 2) if len(each)]
    units = np.full(every.shape[1], 1 / 256)
    return {
        "group_maps": np.stack([each.mean(axis=0) * 256 for each in halves]).astype(np.float16),
        "group_pairs": np.stack([np.full(len(units), len(each)) for each in halves]),
        "group_units": units,
    }


def modules_arrays(request: analysis_service_pb2.ModulesRequest, maps: NDArray[Any]) -> Arrays:
    """The thirds that maps are in: one channel is not pure, and flat ones are in none."""
    thirds = maps.reshape(len(maps), 3, -1).mean(axis=2)  # (C, 3)
    labels = thirds.argmax(axis=1).astype(np.int64) % request.k
    templates = np.stack([maps[labels == k].sum(axis=0) for k in range(request.k)]).astype(
        np.float64
    )
    purity = np.where(np.arange(len(maps)) == IMPURE_CHANNEL, 0.75, 1.0)
    purity[~maps.any(axis=(1, 2))] = np.nan
    seeds = len(request.seeds)
    return {
        "labels": np.where(purity >= request.min_purity, labels, -1),
        "templates": templates,
        "weights": np.eye(request.k)[labels],
        "purity": purity,
        "probabilities": probabilities(request, labels),
        "seed_labels": np.repeat(labels[None], seeds, axis=0),
        "seed_templates": np.repeat(templates[None], seeds, axis=0),
        "agreement": np.ones(seeds),
        "cosine": np.ones(seeds),
    }


def probabilities(
    request: analysis_service_pb2.ModulesRequest, labels: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(C, K): all are sure but the channel that is not pure; NaN without groups of pairs."""
    found = np.full((len(labels), request.k), np.nan)
    if request.HasField("group_maps"):
        found[:] = 0.02 / max(1, request.k - 1)
        found[np.arange(len(labels)), labels] = 0.98 if request.k > 1 else 1.0
    if request.HasField("group_maps") and request.k > 2 and len(labels) > IMPURE_CHANNEL:
        own = labels[IMPURE_CHANNEL]
        found[IMPURE_CHANNEL] = 0.04 / (request.k - 2)
        found[IMPURE_CHANNEL, [own, (own + 1) % request.k]] = 0.55, 0.41
    return found


def stability_arrays(ks: Sequence[int], methods: int, repeats: int) -> Arrays:
    """K = 3 is best, the first method too, and the very last run did not settle."""
    k = np.array(ks, np.int64)
    best = np.where(k == 3, 0.9, 0.6) - 0.1 * np.arange(methods)[:, None]  # (M, n)
    consistency = best[:, :, None] + np.where(np.arange(repeats) % 2, -0.05, 0.05)
    consistency[-1, -1, -1] = np.nan
    return {
        "k": k,
        "consistency": consistency,
        "cosine": consistency**2,
        "chance": np.repeat(1.0 / k[None], methods, axis=0),
    }


def suggested(ks: Sequence[int], methods: Sequence[int]) -> list[analysis_service_pb2.SuggestedK]:
    """K = 3 where it was tried."""
    k = 3 if 3 in ks else ks[0]
    return [
        analysis_service_pb2.SuggestedK(
            method=method,  # type: ignore[arg-type]  # the stub wants its own kind of integer
            k=k,
            consistency=0.9,
            chance=1 / k,
            excess_stderr=0.01,
            rivals=[other for other in ks if other == k + 1],
            reason=f"K = {k}: it exceeds chance most",
        )
        for method in methods
    ]


def magnitude_arrays(layers: int, ks: Sequence[int]) -> Arrays:
    """Modules of nearly one size; a layer's channel changes 0.01 of it, twice that in the next."""
    rows = [
        (layer, k, module, len(range(module, CHANNELS, k)))
        for layer in range(layers)
        for k in ks
        for module in range(k)
    ]
    layer, k, module, channels = np.array(rows, np.int64).T.copy()
    individual = 0.01 * (layer + 1) * channels
    return {
        "layer": layer,
        "k": k,
        "module": module,
        "channels": channels,
        "share": channels / CHANNELS,
        "individual": individual,
        "individual_stderr": individual / 10,
    }


def lines(layers: Sequence[str], unit: float) -> list[analysis_service_pb2.Regression]:
    """A line a layer and a pooled one; the last layer has modules of one size, hence no line."""
    nan = float("nan")
    found = [
        analysis_service_pb2.Regression(
            layer=name, slope=0.01 * (i + 1) * unit, intercept=0.5, r2=1.0, slope_stderr=0.001
        )
        for i, name in enumerate(layers)
    ]
    if len(found) > 1:
        found[-1] = analysis_service_pb2.Regression(
            layer=layers[-1], slope=nan, intercept=nan, r2=nan, slope_stderr=nan, residual=nan
        )
    pooled = analysis_service_pb2.Regression(
        slope=0.015 * unit, intercept=0.25, r2=0.5, slope_stderr=0.002, residual=0.1, rows=9
    )
    return [*found, pooled]
