"""A job that asks classifiers about modules' hybrids, and the classifiers that it asks.

It must not know databases, watchers or gRPC.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from graftscope.server.engine import Generator, ImageNetwork, Memo, Reads
from graftscope.server.errors import InvalidInput
from graftscope.server.jobs._networks import opened
from graftscope.server.jobs._resolver import Resolver
from graftscope.server.jobs._worth_specs import NetworkSpec, ProbeSpec
from graftscope.server.worth import Making, Modules, Probe

_KEPT = 8
"""Classifiers that stay open for each generator, those that were asked last."""


def probe_of(spec: ProbeSpec, making: Making, modules: Modules, resolver: Resolver) -> Probe:
    """What a job measures, ready to run.

    Raises:
        NotFound: a classifier's file is gone.
        ModelRefused: a classifier is not to be opened here, or does not take these images.
        InvalidInput: its preprocessing, its output or its classes do not fit it.
    """
    return Probe(
        making=making,
        layer=making.layer(spec.layer),
        modules=modules,
        classifiers=[classifier_of(x, making.generator, resolver) for x in spec.classifiers],
        controls=spec.controls,
        draws=spec.draws,
        first=spec.first,
        pairs=spec.pairs,
    )


def classifier_of(spec: NetworkSpec, generator: Generator, resolver: Resolver) -> "AskedClassifier":
    """Opens a classifier for a generator's images, or finds it open. Raises as `probe_of`."""
    kept: Memo = generator.memo.get("classifiers", lambda: Memo(_KEPT))
    return kept.get(spec, lambda: AskedClassifier(spec, _classifier(spec, generator, resolver)))


def _classifier(spec: NetworkSpec, generator: Generator, resolver: Resolver) -> ImageNetwork:
    return opened(spec, generator, resolver, Reads.SCORES, "classifiers")


class AskedClassifier:
    """An open network as a probe asks it.

    Args:
        spec: what was asked for.
        network: that network.

    Attributes:
        name: what results call it.
        classes: as the request names them, else as its file does.
        exclusive: whether an image is of exactly one class.
        scores: how many it gives.

    Raises:
        InvalidInput: more or fewer classes are named than it has.
    """

    def __init__(self, spec: NetworkSpec, network: ImageNetwork) -> None:
        self.name = spec.title or spec.name
        self.classes = spec.classes or network.classes
        # A single score is of something that an image has or has not.
        self.exclusive = network.exclusive and not spec.attributes and network.features > 1
        self.scores = network.features
        self._network = network
        if self.classes and len(self.classes) != network.features:
            raise InvalidInput(
                f"{self.name} has {network.features} scores, and {len(self.classes)} classes are"
                " named",
                field="classifiers.classes",
            )

    def __call__(
        self, images: NDArray[np.float32], low: float, high: float, /
    ) -> NDArray[np.float32]:
        """As `Classifier`."""
        return self._network(images, low, high)

    def said(self) -> dict[str, Any]:
        """As `Classifier`."""
        form = self._network.form
        taken = form.preprocessing
        return {
            "sha256": self._network.digest,
            "input": form.input,
            "output": form.output,
            "preprocessing": {
                "height": taken.height,
                "width": taken.width,
                "low": taken.low,
                "high": taken.high,
                "mean": list(taken.mean),
                "deviation": list(taken.deviation),
                "layout": taken.layout.lower(),
                "bgr": taken.bgr,
            },
        }
