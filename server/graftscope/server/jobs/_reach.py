"""What a job of reach measures. It must not know databases, watchers or gRPC."""

from difflib import get_close_matches

import numpy as np

from graftscope.server.errors import InvalidInput
from graftscope.server.jobs._probe import AskedClassifier, classifier_of
from graftscope.server.jobs._resolver import Resolver
from graftscope.server.jobs._worth_specs import NetworkSpec, ReachSpec
from graftscope.server.worth import Making, NetworkScore, Reach, RegionTarget, ScoreTarget, Target


def reach_of(spec: ReachSpec, making: Making, resolver: Resolver) -> Reach:
    """The measure of a job, ready to run.

    Raises:
        NotFound: an array or a network is gone.
        Corrupt: a stored array is damaged.
        ModelRefused: the network is not to be opened here.
        InvalidInput: it does not take the generator's images, or has no such class.
    """
    return Reach(
        making,
        _target(spec, making, resolver),
        spec.layers,
        first=spec.first,
        pairs=spec.pairs,
        most=spec.units,
        seed=spec.draws,
    )


def _target(spec: ReachSpec, making: Making, resolver: Resolver) -> Target:
    if spec.network is not None:
        return _score(spec, spec.network, making, resolver)
    assert spec.region is not None, "a request without a target is refused"
    region = resolver.artifacts.get(spec.region, "region").astype(np.float64, copy=False)
    return RegionTarget(region, making.width)


def _score(spec: ReachSpec, asked: NetworkSpec, making: Making, resolver: Resolver) -> ScoreTarget:
    network = classifier_of(asked, making.generator, resolver)
    place = _place(spec.score, network)
    image = making.generator.manifest.image
    score = NetworkScore(network, place, (image.low, image.high), spec.probability)
    name = network.classes[place] if network.classes else f"output {place}"
    told = f"the probability of {name}" if spec.probability else name
    return ScoreTarget(f"{told} ({network.name})", score)


def _place(name: str, network: AskedClassifier) -> int:
    """Which output is meant, by its name or its number.

    Raises:
        InvalidInput: there is none of that name or number.
    """
    if name in network.classes:
        return network.classes.index(name)
    if name.isdecimal() and int(name) < network.scores:
        return int(name)
    nearest = get_close_matches(name, network.classes, 1)
    meant = f" (did you mean {nearest[0]}?)" if nearest else ""
    known = f": {', '.join(network.classes)}" if network.classes else ""
    raise InvalidInput(
        f"{network.name} has no class or attribute {name!r}{meant}; it has 0 to"
        f" {network.scores - 1}{known}",
        field="score.name",
    )
