"""Probing: what classifiers make of modules' hybrids.

If a hybrid of a module keeps original 1's class, the classifier does not mind what the module
draws; if it gets original 2's, the module carries what the classifier looks at. Beside the modules
stand random sets of as many channels, and the whole layer.

Axes: M classifiers, S sets, K modules, N pairs, A attributes, F classes or attributes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from graftscope.server.analysis import (
    Verdicts,
    are_probabilities,
    as_many_channels,
    by_attribute,
    by_class_pair,
    class_verdicts,
    entropies,
    has_attributes,
    sign_verdicts,
    wilson_interval,
)
from graftscope.server.worth._making import Images, Making
from graftscope.server.worth._measure import Each, Found, batches
from graftscope.server.worth._modules import NO_MODULE, Modules
from graftscope.v1 import bundle_pb2

MODULE, COUNT, LAYER = "module", "count", "layer"

_TRIED = 16
"""Originals 1 whose scores tell whether a classifier gives probabilities."""

_WORDS = ("stays", "becomes", "neither")


class Classifier(Protocol):
    """Gives images a score for each class or attribute."""

    @property
    def name(self) -> str:
        """What results call it."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the scores; empty where they have none."""

    @property
    def exclusive(self) -> bool:
        """Whether exactly one of the classes holds for an image."""

    def said(self) -> dict[str, Any]:
        """What results say of it: its file, and how it takes images."""

    def __call__(
        self, images: NDArray[np.float32], low: float, high: float, /
    ) -> NDArray[np.float32]:
        """Images (B, c, H, W) in the range `low` to `high` to scores (B, F)."""


@dataclass(frozen=True, eq=False)
class ProbedSet:
    """Channels that are swapped at once.

    Attributes:
        kind: module, count (a random set of as many channels) or layer.
        module: which it is, or is a control of; -1 for none.
        channels: (C,) which channels.
    """

    kind: str
    module: int
    channels: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Seen:
    """What one classifier says of images: of some, or of originals 1, originals 2, then S sets.

    Attributes:
        told: (B,) or (2 + S, B) classes; of attributes, which each image has, with an axis A more.
        entropy: (B,) or (2 + S, B) in nats.
    """

    told: NDArray[np.generic]
    entropy: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Probe:
    """Asks classifiers about modules' hybrids.

    Attributes:
        making: makes the images.
        layer: where channels are swapped.
        modules: whose hybrids.
        classifiers: at least one.
        controls: random sets of as many channels that every module is compared with.
        draws: seed of the random sets.
        first: index of the first pair.
        pairs: N.
    """

    making: Making
    layer: bundle_pb2.Layer
    modules: Modules
    classifiers: Sequence[Classifier]
    controls: int
    draws: int
    first: int
    pairs: int

    @cached_property
    def sets(self) -> list[ProbedSet]:
        """The modules, then the controls of each, then the whole layer."""
        named = list(zip(self.modules.indices, self.modules.sets, strict=True))
        channels = len(self.modules.labels)
        drawn = [
            ProbedSet(COUNT, index, members)
            for index, of in named
            for members in as_many_channels(
                channels, int(of.sum()), self.controls, np.random.default_rng([self.draws, index])
            )
        ]
        whole = ProbedSet(LAYER, NO_MODULE, np.ones(channels, dtype=np.bool_))
        return [*(ProbedSet(MODULE, index, of) for index, of in named), *drawn, whole]

    @property
    def pieces(self) -> int:
        """As `Measure.pieces`."""
        return len(self._batches)

    @property
    def hybrids(self) -> int:
        """As `Measure.hybrids`."""
        return self.pairs * len(self.sets)

    @property
    def bytes(self) -> int:
        """As `Measure.bytes`: a class and an entropy of every image."""
        return 2 * 16 * len(self.classifiers) * (2 + len(self.sets)) * self.pairs

    @property
    def _batches(self) -> list[range]:
        return batches(self.first, self.pairs)

    def run(self, each: Each) -> Found:
        """As `Measure.run`."""
        tried, _ = self.making.originals(range(self.first, self.first + min(_TRIED, self.pairs)))
        probable = [
            are_probabilities(self._scores(x, tried), exclusive=x.exclusive)
            for x in self.classifiers
        ]

        def looked_at(pairs: range) -> list[_Seen]:
            # One set's images at a time: there may be hundreds of sets.
            made = [
                [self._seen(x, images, p) for x, p in zip(self.classifiers, probable, strict=True)]
                for images in self._images(pairs)
            ]
            return [_joined(of, np.stack) for of in zip(*made, strict=True)]

        pieces = each(looked_at, self._batches)
        seen = [
            _joined(of, lambda parts: np.concatenate(parts, axis=1))
            for of in zip(*pieces, strict=True)
        ]
        return Found(
            {**self._of_sets(), **self._shares(seen), **self._rows(seen)},
            {
                "kinds": [x.kind for x in self.sets],
                "classifiers": [
                    {
                        **x.said(),
                        "name": x.name,
                        "classes": list(x.classes),
                        "exclusive": x.exclusive,
                        "probabilities": probabilities,
                    }
                    for x, probabilities in zip(self.classifiers, probable, strict=True)
                ],
            },
        )

    def _images(self, pairs: range) -> Iterator[Images]:
        """Originals 1, originals 2, and the hybrids of every set, each (B, c, H, W)."""
        yield from self.making.originals(pairs)
        sets = np.stack([x.channels for x in self.sets])
        yield from self.making.hybrids(self.layer, pairs, sets)

    def _seen(self, classifier: Classifier, images: Images, probabilities: bool) -> _Seen:
        scores, exclusive = self._scores(classifier, images), classifier.exclusive
        told: NDArray[np.generic] = (
            scores.argmax(axis=-1)
            if exclusive
            else has_attributes(scores, probabilities=probabilities)
        )
        return _Seen(told, entropies(scores, exclusive=exclusive, probabilities=probabilities))

    def look(self, images: Images) -> None:
        """As `Measure.look`."""
        for each in self.classifiers:
            self._scores(each, images)

    def _scores(self, classifier: Classifier, images: Images) -> NDArray[np.float32]:
        image = self.making.generator.manifest.image
        return classifier(images, image.low, image.high)

    def _of_sets(self) -> dict[str, NDArray[Any]]:
        return {
            "module": np.array([x.module for x in self.sets], dtype=np.int64),
            "channels": np.array([x.channels.sum() for x in self.sets], dtype=np.int64),
        }

    def _shares(self, seen: list[_Seen]) -> dict[str, NDArray[Any]]:
        """Arrays of a row a classifier."""
        made = [self._shares_of(x, classifier) for x, classifier in self._each(seen)]
        return {name: np.stack([x[name] for x in made]) for name in made[0]}

    def _each(self, seen: list[_Seen]) -> list[tuple[_Seen, Classifier]]:
        return list(zip(seen, self.classifiers, strict=True))

    def _shares_of(self, seen: _Seen, classifier: Classifier) -> dict[str, NDArray[Any]]:
        one, two, *hybrids = seen.told
        exclusive = classifier.exclusive
        found = (class_verdicts if exclusive else sign_verdicts)(one, two, hybrids)
        entropy = seen.entropy  # (2 + S, N)
        both = entropy[:2].mean(axis=0)
        nobody = np.full(len(one), -1)
        return {
            "differ": np.array(found.differ),
            "same": np.array(found.same),
            **_with_intervals(found),
            "entropy": entropy[2:].mean(axis=1),
            "entropy_stderr": _stderr(entropy[2:]),
            "originals_entropy": np.array(both.mean()),
            "originals_entropy_stderr": _stderr(both),
            **self._verdict(one, two, np.stack(hybrids)),
            "class1": one if exclusive else nobody,
            "class2": two if exclusive else nobody,
        }

    def _verdict(
        self,
        one: NDArray[np.generic],
        two: NDArray[np.generic],
        hybrids: NDArray[np.generic],
    ) -> dict[str, NDArray[Any]]:
        """How much more often each module's hybrids stay original 1's than its controls' do.

        Each pair is compared with itself, and the error also counts that other random sets would
        have been drawn.
        """
        differ = (one != two).reshape(len(one), -1)  # (N, 1) or (N, A)
        kept = ((hybrids == one) & (one != two)).reshape(len(hybrids), len(one), -1)
        told = differ.any(axis=1)
        # (S, n) the share of what differs that stays, of the pairs where something does.
        stays = kept.sum(axis=2)[:, told] / np.maximum(differ.sum(axis=1)[told], 1)
        verdict, stderr = [], []
        for place, module in enumerate(self.modules.indices):
            drawn = [
                stays[at]
                for at, each in enumerate(self.sets)
                if each.kind == COUNT and each.module == module
            ]
            if not drawn or not told.any():
                verdict.append(np.nan)
                stderr.append(np.nan)
                continue
            apart = stays[place] - np.mean(drawn, axis=0)
            between = _stderr(np.mean(drawn, axis=1)) if len(drawn) > 1 else 0.0
            verdict.append(float(apart.mean()))
            stderr.append(float(np.hypot(_stderr(apart), between)))
        return {"verdict": np.array(verdict), "verdict_stderr": np.array(stderr)}

    def _rows(self, seen: list[_Seen]) -> dict[str, NDArray[Any]]:
        """Columns of a row a classifier, a set and a pair of classes, or an attribute."""
        pairs, attributes = [], []
        for at, (each, classifier) in enumerate(self._each(seen)):
            one, two, *hybrids = each.told
            if classifier.exclusive:
                rows = asdict(by_class_pair(one, two, hybrids))
                pairs.append({"classifier": np.full(len(rows["set"]), at), **rows})
            else:
                attributes.append(_attribute_rows(at, one, two, np.stack(hybrids)))
        return {**_columns("pair", _PAIR, pairs), **_columns("attribute", _ATTRIBUTE, attributes)}


_PAIR = ("classifier", "set", "class1", "class2", "count", *_WORDS)
_ATTRIBUTE = ("classifier", "set", "index", "differ", "stays", "same", "same_stays")


def _attribute_rows(
    classifier: int,
    one: NDArray[np.generic],
    two: NDArray[np.generic],
    hybrids: NDArray[np.generic],
) -> dict[str, NDArray[np.int64]]:
    """A row a set and an attribute, the sets of an attribute side by side."""
    found = by_attribute(one, two, hybrids)
    sets, attributes = found.stays.shape
    return {
        "classifier": np.full(sets * attributes, classifier),
        "set": np.tile(np.arange(sets), attributes),
        "index": np.repeat(np.arange(attributes), sets),
        "differ": np.repeat(found.differ, sets),
        "stays": found.stays.T.ravel(),
        "same": np.repeat(found.same, sets),
        "same_stays": found.same_stays.T.ravel(),
    }


def _columns(
    prefix: str, names: tuple[str, ...], tables: list[dict[str, NDArray[np.int64]]]
) -> dict[str, NDArray[np.int64]]:
    """Tables one below the other, their columns' names begun with a word."""
    nothing = np.zeros(0, dtype=np.int64)
    return {
        f"{prefix}_{name}": np.concatenate([nothing, *(table[name] for table in tables)])
        for name in names
    }


def _with_intervals(found: Verdicts) -> dict[str, NDArray[np.float64]]:
    """Shares with Wilson's intervals of 95 %. Attributes of one pair count as one trial."""
    shares = {name: (getattr(found, name), found.differ_pairs) for name in _WORDS}
    shares["same_stays"] = found.same_stays, found.same_pairs
    made = {}
    for name, (share, trials) in shares.items():
        made[name] = share
        made[f"{name}_low"], made[f"{name}_high"] = wilson_interval(share, trials)
    return made


def _joined(parts: Sequence[_Seen], join: Callable[[list[NDArray[Any]]], NDArray[Any]]) -> _Seen:
    return _Seen(join([x.told for x in parts]), join([x.entropy for x in parts]))


def _stderr(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of the mean along the last axis; NaN of a single value."""
    count = values.shape[-1]
    if count < 2:
        return np.full(values.shape[:-1], np.nan)
    return np.asarray(values.std(axis=-1, ddof=1) / np.sqrt(count))
