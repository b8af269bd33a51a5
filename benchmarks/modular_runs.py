"""What is measured of trainings that asked for modules: groups, modules, reconstructions.

It knows no tables and no files but the runs' own.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score

from benchmarks.modular_faithful import HYBRID_SEED, Estimate, Faithful, Judge
from graftscope.client import Client, InfluenceResult, Method, ModulesResult, spill
from graftscope.exporter import export
from graftscope.training import Checkpoint, load_checkpoint
from graftscope.training._modularity import groups_of_channels
from graftscope.training._modularity import overlap as overlap_of_maps
from graftscope.training._pictures import batches, to_images

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

HALF = 0.5
"""A pixel is in a template's support from this share of its highest value on."""


@dataclass(frozen=True)
class Amounts:
    """How much is computed.

    Attributes:
        pairs: behind influence maps.
        hybrids: of each module, for its spill.
        repeats: cuts of the channels, for consistency.
        faithful: hybrids of each module and of each of its random sets, for faithfulness.
    """

    pairs: int
    hybrids: int
    repeats: int
    faithful: int


@dataclass(frozen=True)
class Found:
    """The K modules that were found.

    Attributes:
        k: how many.
        consistency: of labels, over cuts of the channels.
        chance: the consistency that permuted labels reach.
        rand: how far they are the recipe's groups: 1 the same, 0 like chance.
        sizes: channels in each.
        influence: of each as a whole, as a share of the image's range.
        overlap: mean cosine between their influence maps.
        spill: of each: the share of its change outside the support of its own template.
        outside: share of the picture outside each one's support.
        mean_spill: of the modules.
        faithful: whether hybrids of each look like samples.
    """

    k: int
    consistency: Estimate
    chance: float
    rand: float
    sizes: list[int]
    influence: list[Estimate]
    overlap: Estimate
    spill: list[Estimate]
    outside: list[float]
    mean_spill: Estimate
    faithful: Faithful


@dataclass(frozen=True)
class Run:
    """All about one training.

    Attributes:
        strength: the term's weight.
        steps: of the training.
        seed: of the training.
        layer: which was asked to be modular.
        overlap: mean cosine between the influence maps of the recipe's groups: the term itself.
        groups: influence of each of them as a whole, as a share of the image's range.
        error: mean squared error of reconstructions of held-out images, in [-1, 1].
        kl: of held-out images, in nats.
        frechet: distance of samples, drawn around encodings, from held-out images.
        found: for each K.
    """

    strength: float
    steps: int
    seed: int
    layer: str
    overlap: Estimate
    groups: list[Estimate]
    error: Estimate
    kl: float | None
    frechet: Estimate
    found: list[Found]


@dataclass(frozen=True)
class Pictures:
    """What the figure shows of a run: templates (K, H, W), and the groups' maps (G, H, W)."""

    strength: float
    templates: FloatArray
    groups: FloatArray


def measured(
    folder: Path,
    bundles: Path,
    held_out: NDArray[np.uint8],
    amounts: Amounts,
) -> tuple[Run, Pictures]:
    """Everything about one run.

    Args:
        folder: of its checkpoint.
        bundles: where it is exported to, unless it has been already.
        held_out: images (M, H, W, 3).
        amounts: how much is computed.
    """
    checkpoint = load_checkpoint(folder)
    recipe = checkpoint.config.recipe
    name, layer = f"modularity-{recipe.modularity:g}", recipe.modularity_layer
    if not (bundles / name).is_dir():
        export(folder, bundles / name)
    groups = group_labels(recipe.modularity_channels, recipe.modularity_groups)
    with Client(bundles=[bundles / name], state=bundles / "state") as client:
        maps = client.influence(name, layer, pairs=amounts.pairs)
        of_groups = client.influence(name, layer, labels=groups, pairs=amounts.pairs)
        every = [client.modules(maps, k) for k in sorted({3, recipe.modularity_groups})]
        judge = Judge(client, name, layer, amounts.faithful)
        frechet = judge.distance_from(held_out)
        found = [_found(client, maps, modules, groups, judge, amounts) for modules in every]
    run = Run(
        strength=recipe.modularity,
        steps=checkpoint.config.step,
        seed=checkpoint.config.seed,
        layer=layer,
        overlap=overlap(of_groups),
        groups=_shares(of_groups),
        error=_reconstruction(checkpoint, held_out),
        kl=checkpoint.metrics.kl,
        frechet=frechet,
        found=found,
    )
    return run, Pictures(recipe.modularity, every[-1].templates, of_groups.maps)


def group_labels(channels: int, groups: int) -> IntArray:
    """The recipe's group of every channel (C,)."""
    labels = np.zeros(channels, np.int64)
    for group, some in enumerate(groups_of_channels(channels, groups)):
        labels[some] = group
    return labels


def overlap(maps: InfluenceResult) -> Estimate:
    """Mean cosine between different maps; its error is a jackknife's over groups of pairs."""
    parts = maps.groups
    if parts is None:
        return Estimate(mean_cosine(maps.maps), float("nan"))
    weights = parts.pairs[:, :, None, None]  # (G, E, 1, 1)
    sums = weights * parts.maps.astype(np.float64) * parts.units[:, None, None]
    without = [
        mean_cosine((sums.sum(0) - one) / (weights.sum(0) - weight))
        for one, weight in zip(sums, weights, strict=True)
    ]
    return Estimate(mean_cosine(maps.maps), jackknife_error(np.array(without)))


def mean_cosine(maps: FloatArray) -> float:
    """Mean over all pairs of maps (E, H, W), averaged over areas as the term does."""
    return float(overlap_of_maps(torch.from_numpy(maps)))


def jackknife_error(without: FloatArray) -> float:
    """Standard error from what an estimate is without each of some equal parts (G,)."""
    count = len(without)
    return float(np.sqrt((count - 1) / count * np.square(without - without.mean()).sum()))


def _found(
    client: Client,
    maps: InfluenceResult,
    modules: ModulesResult,
    groups: IntArray,
    judge: Judge,
    amounts: Amounts,
) -> Found:
    stability = client.stability(maps, [modules.k], [Method.NMF], repeats=amounts.repeats)
    settled = int(stability.settled[0, 0])
    whole = client.influence(maps.model, maps.layer, labels=modules.labels, pairs=amounts.pairs)
    spilt, outside = [], []
    for module in modules:
        hybrids = module.hybridize(pairs=amounts.hybrids, seed=HYBRID_SEED)
        inside = module.template >= HALF * module.template.max()
        of_module = spill(hybrids.original1, hybrids.hybrid, inside)
        spilt.append(Estimate(of_module.share, of_module.stderr))
        outside.append(of_module.area)
    return Found(
        k=modules.k,
        consistency=Estimate(
            float(stability.consistency_mean[0, 0]),
            float(stability.consistency_sd[0, 0] / np.sqrt(settled)),
        ),
        chance=float(stability.chance[0, 0]),
        rand=float(adjusted_rand_score(groups, modules.labels)),
        sizes=[module.size for module in modules],
        influence=_shares(whole),
        overlap=overlap(whole),
        spill=spilt,
        outside=outside,
        mean_spill=mean(spilt),
        faithful=judge.of_modules(modules),
    )


def mean(values: list[Estimate]) -> Estimate:
    """Mean of estimates with independent errors."""
    error = np.sqrt(sum(x.stderr**2 for x in values)) / len(values)
    return Estimate(float(np.mean([x.value for x in values])), float(error))


def _shares(maps: InfluenceResult) -> list[Estimate]:
    return _estimates(maps.individual_share, maps.individual_stderr / maps.range_width)


def _estimates(values: FloatArray, errors: FloatArray) -> list[Estimate]:
    return [Estimate(*each) for each in zip(values.tolist(), errors.tolist(), strict=True)]


@torch.inference_mode()
def _reconstruction(checkpoint: Checkpoint, held_out: NDArray[np.uint8]) -> Estimate:
    """Mean squared error through the posterior's mean, and its error over images."""
    assert checkpoint.encoder is not None
    errors = []
    for pixels in batches(held_out):
        images = to_images(pixels, torch.device("cpu"))
        mean_latents, _ = checkpoint.encoder(images)
        errors.append((checkpoint.generator(mean_latents) - images).square().mean((1, 2, 3)))
    every = torch.cat(errors).double().numpy()
    return Estimate(float(every.mean()), float(every.std(ddof=1) / np.sqrt(len(every))))
