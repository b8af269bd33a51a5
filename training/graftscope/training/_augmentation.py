"""Random changes of what a discriminator sees, differentiable, for real and generated images alike.

A discriminator that sees both changed in the same ways cannot learn few images by heart, and the
generator still learns the unchanged ones (Zhao et al., Differentiable Augmentation, 2020). Every
strength has the identity as its limit at 0. Draws come from a generator on the CPU.

Shapes: B batch, C colours, H and W pixels; images lie in [-1, 1].
"""

import torch
from torch import Tensor
from torch.nn.functional import pad

from graftscope.training.recipes import Recipe


def mirror(images: Tensor, noise: torch.Generator) -> Tensor:
    """Turn each image (B, C, H, W) left to right with probability 1/2."""
    turned = torch.rand(len(images), 1, 1, 1, generator=noise).to(images.device) < 0.5
    return torch.where(turned, images.flip(3), images)


def augment(images: Tensor, recipe: Recipe, noise: torch.Generator) -> Tensor:
    """Change images (B, C, H, W) as much as a recipe says; nothing is drawn for what is 0."""
    if recipe.colour_jitter:
        images = jitter_colours(images, recipe.colour_jitter, noise)
    if recipe.translation:
        images = translate(images, recipe.translation, noise)
    if recipe.cutout:
        images = cut_out(images, recipe.cutout, noise)
    return images


def jitter_colours(images: Tensor, strength: float, noise: torch.Generator) -> Tensor:
    """Change brightness, saturation and contrast of each image.

    Args:
        images: (B, C, H, W).
        strength: Brightness moves by up to half of it, saturation is scaled by 1 ± strength,
            contrast by 1 ± strength / 2.
        noise: The source of the draws.
    """
    draws = torch.rand(3, len(images), 1, 1, 1, generator=noise).to(images.device) - 0.5
    brightness, saturation, contrast = strength * draws
    images = images + brightness
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * (1 + 2 * saturation)
    mean = images.mean((1, 2, 3), keepdim=True)
    changed: Tensor = mean + (images - mean) * (1 + contrast)
    return changed


def translate(images: Tensor, share: float, noise: torch.Generator) -> Tensor:
    """Move each image by up to a share of its side, each way; what comes in is grey (0)."""
    count, colours, height, width = images.shape
    reach = round(share * height)
    moved = torch.randint(-reach, reach + 1, (2, count, 1), generator=noise).to(images.device)
    # One row and column of grey on each side, to which all that lies outside is clamped.
    rows, columns = (
        (torch.arange(size, device=images.device) + 1 + shift).clamp(0, size + 1)
        for size, shift in zip((height, width), moved, strict=True)
    )
    padded = pad(images, (1, 1, 1, 1))
    across = columns[:, None, None, :].expand(count, colours, height + 2, width)
    down = rows[:, None, :, None].expand(count, colours, height, width)
    return padded.gather(3, across).gather(2, down)


def cut_out(images: Tensor, share: float, noise: torch.Generator) -> Tensor:
    """Make a square of each image grey (0), whose side is a share of the image's."""
    count, _, height, width = images.shape
    side = round(share * height)
    corners = torch.rand(2, count, 1, generator=noise).to(images.device)
    # Squares may hang over the edge by half of their side.
    inside = [
        (torch.arange(size, device=images.device) - (corner * (size + 1) - side / 2).floor())
        for size, corner in zip((height, width), corners, strict=True)
    ]
    rows, columns = ((distance >= 0) & (distance < side) for distance in inside)
    hidden = rows[:, None, :, None] & columns[:, None, None, :]  # (B, 1, H, W)
    return images.masked_fill(hidden, 0.0)
