"""Grids of images as PNG, to look at while a training runs."""

import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

_GAP = 2


def to_images(pixels: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Bytes (B, H, W, 3) to images (B, 3, H, W) in [-1, 1], channels last in memory."""
    return torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_pixels(images: Tensor) -> NDArray[np.uint8]:
    """Images (B, 3, H, W) in [-1, 1] to bytes (B, H, W, 3)."""
    scaled = ((images.float() + 1) * 127.5).round().clamp(0, 255)
    return scaled.permute(0, 2, 3, 1).to("cpu", torch.uint8).numpy()


def write_grid(path: Path, pixels: NDArray[np.uint8], columns: int) -> None:
    """Write images (B, H, W, 3) as one picture, row by row, on white."""
    count, height, width, colours = pixels.shape
    rows = math.ceil(count / columns)
    tall, wide = height + _GAP, width + _GAP
    sheet = np.full((rows * tall - _GAP, columns * wide - _GAP, colours), 255, np.uint8)
    for i, image in enumerate(pixels):
        top, left = i // columns * tall, i % columns * wide
        sheet[top : top + height, left : left + width] = image
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet).save(path)
