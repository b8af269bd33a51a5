"""What is exported, whatever it was read from: graphs, what they take and give, where from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graftscope.bundle import Originals
from graftscope.v1 import bundle_pb2

Arrays = Mapping[str, NDArray[np.generic]]
Stored = Mapping[str, Arrays]
"""Arrays (1, ...) or (count, ...) by the bundle's file and the input's name."""


TOLERANCE: Final = 1e-5
"""Largest difference, as a share of the image range's width: float32 sums in another order."""


@dataclass(frozen=True)
class Agreement:
    """How far images may be apart, as shares of the width of their range.

    Where a quantised network rounds, a few images in a batch may differ by more than all others:
    those in which a number fell to the step beside. Half of them must be closer.

    Attributes:
        source: The generator's from those of what it was made from.
        halves: Those of halves from the generator's, where arithmetic may be reordered.
        usual_source: As `source`, of half of the images at least; None for the same.
        usual_halves: As `halves`, likewise.
    """

    source: float = TOLERANCE
    halves: float = TOLERANCE
    usual_source: float | None = None
    usual_halves: float | None = None

    @property
    def rounds(self) -> bool:
        """Whether single images may differ by more than the others."""
        return self.usual_halves is not None


class Reference(Protocol):
    """What a graph was made from, to compare it with."""

    def __call__(self, inputs: Arrays, /) -> Sequence[NDArray[np.float32]]:
        """Compute the graph's outputs, in order, from its inputs by name."""


class HookFinder(Protocol):
    """Finds where PyTorch computes a bundle's layers."""

    def __call__(
        self, folder: Path, manifest: bundle_pb2.Bundle, /
    ) -> Mapping[str, bundle_pb2.TorchHook]:
        """Return hooks by the layer's name, for the bundle whose graphs lie in a folder."""


@dataclass(frozen=True)
class EncoderSubject:
    """An encoder: images to the posterior over an input of the generator.

    Attributes:
        model: A graph that takes images in the generator's form and range, and gives the
            posterior's mean, and its log-variance where the encoder tells it.
        infers: The generator's input, whose shape both have.
        originals: What encodings of training images look like; None where nobody knows.
        reference: What the graph was made from.
        agreement: How far encodings may be apart, as shares of the largest, or of 1.
    """

    model: ir.Model
    infers: str
    originals: Originals | None
    reference: Reference | None
    agreement: Agreement = Agreement()


@dataclass(frozen=True)
class GeneratorSubject:
    """A generator and what is known about it.

    Attributes:
        model: The graph in plain form, its nodes' metadata still there.
        inputs: What it takes.
        low: The least value of an image's pixel.
        high: The largest.
        reference: What the graph was made from; None where there is nothing to compare it with.
        levels: Levels' names by layers' names; may be empty.
        encoder: The encoder, if there is one.
        provenance: Where the generator comes from.
        card: The model card, in Markdown.
        stored: Values of inputs to be stored, as `ChosenInputs.stored` has them.
        bounded: Whether no image may leave the range from low to high; else that is where most
            pixels lie.
        notes: What was guessed, and what a user should know beside; one line each.
        agreement: How far images may be apart; more than the last digits where what it was made
            from rounds on the way.
        changes: How the graph differs from what it was made from, in form; one line each.
        suspect: What may have changed its numbers on the way from what it was made from, and what
            to do about it; a clause for the proof's refusal.
        find_hooks: Finds where PyTorch computes the layers; None where it comes from elsewhere.
    """

    model: ir.Model
    inputs: Sequence[bundle_pb2.Input]
    low: float
    high: float
    reference: Reference | None
    levels: Mapping[str, str] = field(default_factory=dict)
    encoder: EncoderSubject | None = None
    provenance: bundle_pb2.Provenance = field(default_factory=bundle_pb2.Provenance)
    card: str = ""
    stored: Stored = field(default_factory=dict)
    bounded: bool = True
    notes: tuple[str, ...] = ()
    agreement: Agreement = Agreement()
    changes: tuple[str, ...] = ()
    suspect: str = ""
    find_hooks: HookFinder | None = None
