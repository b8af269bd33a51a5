"""What every experiment asks of a server: maps, modules, stability, hybrids.

The server answers a task that it has computed before at once, so experiments ask for whatever they
need and share nothing else. It must not know figures or claims.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
from numpy.typing import NDArray

from graftscope.client._client import Client
from graftscope.client.errors import NotFoundError
from graftscope.client.models import Model
from graftscope.client.reproduce._real import RealImages, data_set_of
from graftscope.client.values import (
    AnalysisResult,
    Encoded,
    FaithfulnessResult,
    FaithfulnessTask,
    HybridResult,
    Images,
    IndependenceResult,
    IndependenceTask,
    InfluenceResult,
    InfluenceTask,
    MagnitudeResult,
    MagnitudeTask,
    Method,
    ModulesResult,
    ModulesTask,
    Originals,
    Prior,
    ProbeResult,
    ProbeTask,
    ReachResult,
    ReachTask,
    StabilityResult,
    StabilityTask,
    Task,
)

VAE, VAE_TENTH, GAN = "vae-celeba", "vae-celeba-beta10", "gan-celeba"
VAE_CIFAR, GAN_CIFAR = "vae-cifar10", "gan-cifar10"
GENERATORS = (VAE, VAE_TENTH, GAN, VAE_CIFAR, GAN_CIFAR)
"""The paper's five generators, as they come with the package."""

CGAN, LABEL = "cgan-cifar10", "label"
"""The generator that is told a class, and the input that tells it."""

_GANS = (GAN, GAN_CIFAR)

K = 3
"""The paper's number of modules."""


REACH_UNITS, REACH_PAIRS = 5, 96
"""Every further unit asks for a hybrid of every other one in half of the pairs."""


@dataclass(frozen=True)
class Effort:
    """How much is computed.

    Args:
        pairs: Behind each influence map of a VAE; as many others measure modules.
        hybrids: Pairs whose hybrids are measured one by one.
        shown: Pairs in a picture.
        repeats: Random partitions behind each stability.
        worth: Hybrids of each set that is compared with samples, and pairs behind the maps that
            its modules are found in.
        sweep: Numbers of pairs whose effect is shown, ascending; the last is the reference.
    """

    pairs: int = 1000
    hybrids: int = 400
    shown: int = 7
    repeats: int = 20
    worth: int = 500
    sweep: tuple[int, ...] = (100, 300, 1000, 5000)

    @property
    def pairs_of_a_gan(self) -> int:
        """Behind each map of a GAN, whose maps are noisier: so many leave what verdicts need."""
        return 2 * self.pairs


QUICK = Effort(pairs=200, hybrids=100, worth=128, sweep=(50, 100, 200))
"""For a look in a few minutes; claims want 1,000 pairs."""


@dataclass(frozen=True, eq=False)
class Study:
    """Asks a server on behalf of the experiments.

    Args:
        client: The server's.
        effort: How much is computed.
        compute: Runs a task to its end, with progress.
        say: Hears of each step before it is done.
        real: Where real images are; None where `Encoded` stands in for them.
        seed: Of pairs, groupings and partitions.
    """

    client: Client
    effort: Effort
    compute: Callable[[Task], AnalysisResult]
    say: Callable[[str], None]
    real: RealImages | None = None
    seed: int = 0
    _images: dict[str, Images] = field(default_factory=dict, init=False, repr=False)

    def model(self, name: str) -> Model:
        """Describe one of the generators.

        Raises:
            NotFoundError: If the server does not hold it.
        """
        try:
            return self.client.model(name)
        except NotFoundError as error:
            raise NotFoundError(
                f"{error}; the figures need the generators that come with the package:"
                f" {', '.join((*GENERATORS, CGAN))}"
            ) from error

    def pairs(self, name: str) -> int:
        """Return how many pairs are behind each of a model's maps."""
        return self.effort.pairs_of_a_gan if name in _GANS else self.effort.pairs

    def levels(self, name: str) -> tuple[str, ...]:
        """List a model's levels, the coarsest first."""
        return tuple(layer.level for layer in self.model(name).layers if layer.level)

    def classes(self, name: str) -> int:
        """Return how many classes a model can be told."""
        return next(each.classes for each in self.model(name).inputs if each.name == LABEL)

    def originals(self, name: str) -> Originals:
        """Choose where a model's originals come from, as section 4 does."""
        if not self.model(name).has_encoder:
            return Prior()
        return Encoded() if self.real is None else self.images(name)

    def images(self, name: str) -> Images:
        """Read the held-out images of a VAE, once a data set, whose VAEs have one image size.

        Raises:
            NotFoundError: If no real images were named, or there are none.
        """
        if self.real is None:
            raise NotFoundError("no real images were named: give --data PATH")
        data_set = data_set_of(name)
        if data_set not in self._images:
            self.say(f"{data_set}: reading real images that no generator was trained on")
            self._images[data_set] = Images(self.real.held_out(self.model(name)))
        return self._images[data_set]

    def source(self, name: str) -> str:
        """Say for a caption where a model's originals come from."""
        match self.originals(name):
            case Images(images=images):
                return f"{len(images):,} held-out real images, passed through the encoder"
            case Encoded():
                return (
                    "a Gaussian with the mean and covariance of the training images' encodings, "
                    "which stands in for real images"
                )
            case _:
                return "the prior"

    def maps(
        self,
        name: str,
        level: str,
        *,
        originals: Originals | None = None,
        pairs: int | None = None,
        products: bool = False,
        first: int = 0,
        share: Sequence[str] = (),
        fix: Mapping[str, int] | None = None,
    ) -> InfluenceResult:
        """Ask for the maps of every channel of a level.

        Args:
            name: The generator.
            level: The level.
            originals: Where originals come from, if not from where they usually do.
            pairs: How many, if not as many as usual.
            products: Whether mean products of maps are asked for too.
            first: Index of the first pair.
            share: Inputs of which original 2 takes original 1's value.
            fix: Values of inputs that all samples have.
        """
        count = self.pairs(name) if pairs is None else pairs
        told = "".join(f", {key} {value}" for key, value in (fix or {}).items())
        told += "".join(f", one {each} a pair" for each in share)
        self.say(f"{name}, {level}: influence of every channel, {count:,} pairs{told}")
        task = InfluenceTask(
            name,
            level,
            pairs=count,
            seed=self.seed,
            originals=originals or self.originals(name),
            products=products,
            first=first,
            share=tuple(share),
            fix=fix,
        )
        return cast(InfluenceResult, self.compute(task))

    def fresh(self, maps: InfluenceResult, labels: NDArray[np.int64], name: str) -> InfluenceResult:
        """Ask for the influence of whole modules, on pairs that did not find them."""
        self.say(f"{name}, {maps.layer}: influence of whole modules, on other pairs")
        task = InfluenceTask(
            name,
            maps.layer,
            labels=labels,
            pairs=self.pairs(name),
            seed=self.seed,
            first=self.pairs(name),
            originals=self.originals(name),
        )
        return cast(InfluenceResult, self.compute(task))

    def modules(
        self,
        maps: InfluenceResult,
        *,
        method: Method = Method.NMF,
        window: int = 3,
        percentile: float = 75.0,
        min_purity: float = 0.0,
    ) -> ModulesResult:
        """Ask for modules of maps."""
        task = ModulesTask(
            maps.operation,
            k=K,
            method=method,
            seeds=(self.seed,),
            window=window,
            percentile=percentile,
            min_purity=min_purity,
        )
        return cast(ModulesResult, self.compute(task))

    def stability(
        self,
        maps: InfluenceResult,
        *,
        ks: Sequence[int] | None = None,
        methods: Sequence[Method] = (Method.NMF, Method.KMEANS),
        window: int = 3,
        percentile: float = 75.0,
    ) -> StabilityResult:
        """Ask how far modules depend on which channels they are found in."""
        self.say(f"{maps.model}, {maps.layer}: stability over {self.effort.repeats} partitions")
        task = StabilityTask(
            maps.operation,
            ks=None if ks is None else tuple(ks),
            methods=tuple(methods),
            repeats=self.effort.repeats,
            seed=self.seed,
            window=window,
            percentile=percentile,
        )
        return cast(StabilityResult, self.compute(task))

    def magnitude(self, name: str) -> MagnitudeResult:
        """Ask how much modules of a model's last three layers change the image."""
        self.say(f"{name}: influence of the modules of the last three layers, K = 1 to 10")
        task = MagnitudeTask(
            name,
            ks=tuple(range(1, 11)),
            seed=self.seed,
            pairs=self.pairs(name),
            pairs_seed=self.seed,
            originals=self.originals(name),
        )
        return cast(MagnitudeResult, self.compute(task))

    def hybrids(self, name: str, level: str, channels: Sequence[int], pairs: int) -> HybridResult:
        """Make hybrids of pairs that no map has seen."""
        return self.client.hybridize(
            name,
            level,
            list(channels),
            pairs=pairs,
            seed=self.seed,
            first=2 * self.pairs(name),
            originals=self.originals(name),
        )

    def faithfulness(
        self, maps: InfluenceResult, modules: ModulesResult, name: str
    ) -> FaithfulnessResult:
        """Ask whether modules' hybrids look like samples, on pairs that did not find them."""
        self.say(f"{name}, {maps.layer}: faithfulness, {self.effort.worth:,} hybrids a set")
        task = FaithfulnessTask(
            name,
            maps.layer,
            modules.labels,
            individual=maps.individual,
            templates=modules.templates,
            data=None if self.real is None else self.images(name).images,
            pairs=self.effort.worth,
            seed=self.seed,
            first=self.effort.pairs,
            originals=self.originals(name),
        )
        return cast(FaithfulnessResult, self.compute(task))

    def independence(
        self, maps: InfluenceResult, modules: ModulesResult, name: str
    ) -> IndependenceResult:
        """Ask whether modules act by themselves, on pairs that did not find them."""
        self.say(f"{name}, {maps.layer}: independence, {self.effort.worth:,} hybrids of each kind")
        task = IndependenceTask(
            name,
            maps.layer,
            modules.labels,
            templates=modules.templates,
            pairs=self.effort.worth,
            seed=self.seed,
            first=self.effort.pairs,
            originals=self.originals(name),
        )
        return cast(IndependenceResult, self.compute(task))

    def probe(self, maps: InfluenceResult, modules: ModulesResult, name: str) -> ProbeResult:
        """Ask what the classifier that suits a model makes of its modules' hybrids."""
        self.say(f"{name}, {maps.layer}: a classifier, on {self.effort.worth:,} pairs")
        task = ProbeTask(
            name,
            maps.layer,
            modules.labels,
            pairs=self.effort.worth,
            seed=self.seed,
            first=self.effort.pairs,
            originals=self.originals(name),
        )
        return cast(ProbeResult, self.compute(task))

    def reach(self, name: str, **target: object) -> ReachResult:
        """Ask how much few latents give of what can be reached, and few channels.

        Args:
            name: The generator.
            **target: What is to be changed, as `ReachTask` says it.
        """
        self.say(f"{name}: reach of latents and of channels")
        task = ReachTask(
            name,
            layers=self.levels(name),
            units=REACH_UNITS,
            pairs=min(REACH_PAIRS, self.effort.worth),
            seed=self.seed,
            originals=self.originals(name),
            **target,  # type: ignore[arg-type]  # whichever it is
        )
        return cast(ReachResult, self.compute(task))
