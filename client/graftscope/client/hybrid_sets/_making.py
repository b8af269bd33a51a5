"""The images of a set: hybrids of `hybridize`, some pairs a call, and the classes of sources."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graftscope.client._client import Client
from graftscope.client.arrays import Latents
from graftscope.client.errors import InputError
from graftscope.client.hybrid_sets._rows import (
    HybridRow,
    Source,
    donors_of,
    rows_of,
    source_of,
    stem,
)
from graftscope.client.hybrid_sets._wanted import HybridSet
from graftscope.client.interventions import Edit, Intervention, StoredLatents, Swap
from graftscope.client.models import Input, Model
from graftscope.client.values import HybridFiles, ImageEncoding, Samples

PAIRS_A_CALL = 16
"""What is made at once, and made again as a whole where an export was interrupted: a call's pairs
go through the generator together, and others beside them could round differently."""

_CALLS_KEPT = 16
"""Of originals' latents: donors are the originals 2 of the pairs that follow."""


@dataclass(frozen=True)
class MadeImage:
    """An image of a set: its row, with the classes of its sources, and its PNG file."""

    row: HybridRow
    png: bytes


class SetMaker:
    """Makes the images of a set.

    Args:
        client: Of a server that has the model.
        wanted: Which images.
        model: The generator, in the version that makes them.
    """

    def __init__(self, client: Client, wanted: HybridSet, model: Model) -> None:
        self._client, self._wanted = client, wanted
        self._model = f"{model.name}@{model.digest}"
        self._label = next((each for each in model.inputs if each.classes), None)
        self._classes: Mapping[Source, int] | None = None
        self._drawn: Mapping[str, Any] = {
            "seed": wanted.seed,
            "originals": wanted.originals,
            "fix": wanted.fix,
        }
        self._latents_of_call = lru_cache(_CALLS_KEPT)(self._draw)

    def ask_classifier(self) -> None:
        """Have the classifier that was given tell the class of every original.

        Raises:
            InputError: If it tells attributes, of which an image has any number.
        """
        if self._wanted.classifier is None:
            return
        # All channels are one module: the fewest hybrids beside the originals that are asked about.
        told = self._client.probe(
            self._model,
            self._wanted.layer,
            np.zeros_like(self._wanted.labels),
            self._wanted.classifier,
            pairs=self._wanted.pairs,
            controls=1,
            share=self._wanted.share,
            **self._drawn,
        )
        if not told.classifiers[0].exclusive:
            raise InputError(
                f"{told.classifiers[0].name} tells attributes, of which an image has any number: a"
                " set's classifier tells one class",
                field="classifier",
            )
        self._classes = {
            (pair, which): int(classes[0, pair])
            for which, classes in ((1, told.class1), (2, told.class2))
            for pair in range(self._wanted.pairs)
        }

    def calls(self) -> Iterator[range]:
        """The pairs of each call, in order."""
        every = range(self._wanted.pairs)
        return (every[start : start + PAIRS_A_CALL] for start in every[::PAIRS_A_CALL])

    def rows(self, pairs: range) -> list[HybridRow]:
        """The rows of some pairs, without classes."""
        return [row for pair in pairs for row in rows_of(self._wanted, pair)]

    def made(self, pairs: range) -> list[MadeImage]:
        """Make the images of the pairs of a call."""
        files: dict[str, bytes] = {}
        for module in self._wanted.swapped:
            found = self._hybrids(pairs, self._taken(module))
            for at, pair in enumerate(pairs):
                files[f"{stem((pair, 1))}.png"] = found.original1[at]
                files[f"{stem((pair, 2))}.png"] = found.original2[at]
                files[f"{pair:06d}-module{module}.png"] = found.hybrid[at]
        for mixture in range(self._wanted.mixtures):
            for pair in pairs:
                found = self._hybrids(range(pair, pair + 1), self._mixed(pair, mixture))
                files[f"{pair:06d}-mixture{mixture}.png"] = found.hybrid[0]
        return [MadeImage(self._classified(row), files[row.file]) for row in self.rows(pairs)]

    def _hybrids(self, pairs: range, intervention: Intervention) -> HybridFiles:
        made: HybridFiles = self._client.hybridize(
            self._model,
            intervention=intervention,
            pairs=len(pairs),
            first=pairs.start,
            share=self._wanted.share,
            encoding=ImageEncoding.PNG,
            **self._drawn,
        )
        return made

    def _taken(self, module: int) -> Intervention:
        return Intervention([Edit(self._wanted.layer, self._channels(module))])

    def _mixed(self, pair: int, mixture: int) -> Intervention:
        donors = donors_of(self._wanted, pair, mixture)
        return Intervention(
            [
                Edit(
                    self._wanted.layer,
                    self._channels(module),
                    action=Swap(StoredLatents(self._donor(source))),
                )
                for module, source in donors.items()
            ]
        )

    def _channels(self, module: int) -> list[int]:
        found: list[int] = np.flatnonzero(self._wanted.labels == module).tolist()
        return found

    def _donor(self, source: Source) -> Latents:
        """The latents of one original, but for what all samples share."""
        latents = self._latents(source)
        return {name: row for name, row in latents.items() if name not in (self._wanted.fix or {})}

    def _latents(self, source: Source) -> Latents:
        """(1, ...) by the input's name."""
        pair, which = source
        call, row = divmod(pair, PAIRS_A_CALL)
        latents = self._latents_of_call(call, which)
        return {name: array[row : row + 1] for name, array in latents.items()}

    def _draw(self, call: int, which: int) -> Latents:
        samples: Samples = self._client.generate(
            self._model,
            count=PAIRS_A_CALL,
            first=call * PAIRS_A_CALL,
            original=which,
            **self._drawn,
        )
        return samples.latents

    def _classified(self, row: HybridRow) -> HybridRow:
        classes = self._classes
        if classes is not None:
            of = {source: classes[source_of(source)] for source in row.sources.values()}
        elif self._label is not None:
            label = self._label
            of = {source: self._class(label, source_of(source)) for source in row.sources.values()}
        else:
            return row
        return replace(row, classes={part: of[source] for part, source in row.sources.items()})

    def _class(self, label: Input, source: Source) -> int:
        if label.name in self._wanted.share:
            source = source[0], 1
        return class_of(self._latents(source)[label.name], label)


def class_of(value: NDArray[np.generic], label: Input) -> int:
    """Read the class of one sample's label: a number, or the place of the largest of one-hot ones.

    Args:
        value: (1, ...) the label.
        label: The input that it is of.
    """
    return int(np.argmax(value) if label.distribution == "one_hot" else value.reshape(-1)[0])
