"""A term that asks a generator to be modular: fixed groups of channels that act apart.

The channels of one layer are cut into groups of neighbours. What a group does is measured as an
influence map is (section 3.3): swap its channels between two samples, generate, and average
|hybrid - original 1| over colours and pairs. The term is the overlap of two groups' maps, averaged
over areas of the picture. It knows no optimiser and no data; randomness is handed in.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, cosine_similarity

from graftscope.training.recipes import Recipe

# Rows and columns of areas. Pixel by pixel, a generator learns to draw one place with all groups in
# alternate pixels, which the strides of its deconvolutions allow, and not to part the picture.
_AREAS = 8
# Cosines of maps that are zero: two groups without any effect do not overlap.
_SMALLEST_NORM = 1e-8


def add_overlap(
    loss: Tensor,
    recipe: Recipe,
    generator: nn.Module,
    inputs: Sequence[Tensor],
    noise: torch.Generator,
) -> tuple[Tensor, dict[str, float]]:
    """Add the term to a generator's loss where the recipe asks for it.

    Args:
        loss: What else the generator minimises.
        recipe: As of `overlap_of_groups`, and so the others.
        generator: The generator.
        inputs: What it is given.
        noise: The source of the draw.

    Returns:
        The sum, and the overlap by its name for the curves; the loss and nothing without the term.
    """
    found = overlap_of_groups(recipe, generator, inputs, noise)
    if found is None:
        return loss, {}
    return loss + recipe.modularity * found, {"overlap": found.item()}


def overlap_of_groups(
    recipe: Recipe, generator: nn.Module, inputs: Sequence[Tensor], noise: torch.Generator
) -> Tensor | None:
    """Return how far two groups of the recipe, drawn at random, overlap.

    Its mean over the draws is the mean over all pairs of groups.

    Args:
        recipe: Says which layer, how many groups, and how many pairs of samples.
        generator: Its modules are named as `Architecture.layers` says.
        inputs: A batch's latents (B, Z), and its classes (B,) where the generator is told them. The
            first few are used; no gradient reaches what made them.
        noise: The source of the draw.

    Returns:
        A scalar in [0, 1]; None, and nothing is drawn, if the recipe does not ask for the term.
    """
    if not recipe.modularity:
        return None
    groups = groups_of_channels(recipe.modularity_channels, recipe.modularity_groups)
    first, second = torch.randperm(len(groups), generator=noise)[:2].tolist()
    maps = influence_of_groups(
        generator,
        recipe.modularity_layer,
        (groups[first], groups[second]),
        [each[: recipe.modularity_pairs].detach() for each in inputs],
    )
    return overlap(maps)


def groups_of_channels(channels: int, groups: int) -> tuple[slice, ...]:
    """Cut a layer's channels into groups of neighbours whose sizes differ by one at most."""
    edges = [channels * group // groups for group in range(groups + 1)]
    return tuple(slice(*pair) for pair in pairwise(edges))


def influence_of_groups(
    generator: nn.Module, layer: str, groups: Sequence[slice], inputs: Sequence[Tensor]
) -> Tensor:
    """Measure where groups of a layer's channels act, with gradients for the generator.

    Every sample is original 1 of one pair and original 2 of another. Batch normalisation takes
    the running statistics, as a trained generator does, and these stay as they are.

    Args:
        generator: Latents, and classes where it is told them, to images (B, 3, H, W).
        layer: The name of the module that ends in the layer.
        groups: The channels of each group.
        inputs: Latents (N, Z), at least two, and classes (N,).

    Returns:
        Influence maps of the G groups (G, H, W), at least 0, in float32.
    """
    count = len(inputs[0])

    def with_hybrids(activation: Tensor) -> Tensor:
        original = activation[:count]
        donor, hybrids = original.roll(1, 0), []
        for group in groups:
            hybrid = original.clone()
            hybrid[:, group] = donor[:, group]
            hybrids.append(hybrid)
        return torch.cat([original, *hybrids])

    # What is carried past the layer, such as a class, is original 1's for every hybrid.
    repeated = [torch.cat([each] * (1 + len(groups))) for each in inputs]
    with _running_statistics(generator), _rewritten(generator, layer, with_hybrids):
        images: Tensor = generator(*repeated)
    images = images.float().reshape(1 + len(groups), count, *images.shape[1:])
    return (images[1:] - images[0]).abs().mean((1, 2))


def overlap(maps: Tensor) -> Tensor:
    """Return the mean cosine between different maps, averaged over 8 x 8 areas of the picture.

    Args:
        maps: What each group changes (G, H, W), at least 0.

    Returns:
        A scalar: 0 if no area changes with two groups, 1 if all maps are alike.
    """
    flat = adaptive_avg_pool2d(maps[None], _AREAS)[0].flatten(1)  # (G, H, W) -> (G, 64)
    cosines = cosine_similarity(flat[:, None], flat[None], dim=2, eps=_SMALLEST_NORM)  # (G, G)
    above = torch.triu_indices(len(flat), len(flat), offset=1)
    return cosines[above[0], above[1]].mean()


@contextmanager
def _rewritten(
    generator: nn.Module, layer: str, rewrite: Callable[[Tensor], Tensor]
) -> Iterator[None]:
    """Let what follows the layer see its activation rewritten."""
    module = generator.get_submodule(layer)
    hook = module.register_forward_hook(lambda _, __, activation: rewrite(activation))
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def _running_statistics(generator: nn.Module) -> Iterator[None]:
    """Evaluate batch normalisation with its running statistics, and do not change them."""
    norms = [
        module
        for module in generator.modules()
        if isinstance(module, nn.BatchNorm2d) and module.training
    ]
    for norm in norms:
        norm.eval()
    try:
        yield
    finally:
        for norm in norms:
            norm.train()
