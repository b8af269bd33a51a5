"""Whose influence is wanted: sets of channels of one layer, or interventions of any kind.

Both record the originals of a batch of pairs once, and then give the effects of some of their
interventions a run. It must not know jobs, gRPC or workers.
"""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from graftscope.graph import Areas
from graftscope.graph.rewrites import COMPILE
from graftscope.server.engine._cancellation import Cancellation
from graftscope.server.engine._compiled_layers import CompiledLayer
from graftscope.server.engine._edits import Intervention
from graftscope.server.engine._generator import Effects, Generator, Latents, Recording
from graftscope.server.engine._intervention_forms import Donors, Feeds, Form, slots_of
from graftscope.server.engine._originals import PairSource
from graftscope.server.engine._plan import CompiledSize, Plan, choose_plan, rewritten
from graftscope.server.engine._precision import Backend
from graftscope.server.engine._rewritten_layers import RewrittenLayer
from graftscope.v1 import bundle_pb2

if TYPE_CHECKING:
    from graftscope.server.engine.compiled import Prepared


class Batch(Protocol):
    """Both originals of a batch of pairs, on the device."""

    def effects(self, some: range) -> Effects:
        """Sums over the batch's pairs for some interventions, by their indices.

        Raises:
            Cancelled: the job was cancelled.
        """


class Subject(Protocol):
    """Whose influence is wanted."""

    @property
    def generator(self) -> Generator:
        """The generator."""

    @property
    def products(self) -> bool:
        """Whether products of effects are wanted too; then a run holds one pair."""

    @property
    def shape(self) -> Hashable:
        """Equal where runs take as long, whichever channels and pairs they are of: plain values,
        which are told the same in any process.
        """

    def __len__(self) -> int:
        """How many interventions, E."""

    def only(self, rows: NDArray[np.int64]) -> "Subject":
        """Some of the interventions, by the plans and the sessions of all.

        Args:
            rows: their indices, ascending, at least one.
        """

    def plan(self) -> Plan:
        """The size of a run."""

    def candidates(self, backends: Sequence[Backend]) -> tuple[Plan, ...]:
        """Plans that are worth measuring, at least one for each backend, plain ones first."""

    def kinds(self, plan: Plan) -> list[tuple[range, int]]:
        """Runs that may differ in time: one of each kind, and how many a batch has of it."""

    def record(
        self, source: PairSource, pairs: range, plan: Plan, cancellation: Cancellation
    ) -> Batch:
        """Draws, generates and records both originals of a batch, as the plan says.

        Raises:
            Cancelled: the job was cancelled.
        """


@dataclass(frozen=True, eq=False)
class ChannelSets:
    """Swaps of sets of channels of one layer.

    Attributes:
        generator: the generator.
        layer: where it is cut.
        sets: (E, C), the channels of each E.
        areas: sides of the areas that maps are averaged over.
        products: whether products of effects are wanted too.
    """

    generator: Generator
    layer: bundle_pb2.Layer
    sets: NDArray[np.bool_]
    areas: Areas
    products: bool = False

    @property
    def shape(self) -> Hashable:
        """As `Subject`."""
        digest, single = self.generator.manifest.digest, self._single
        return digest, self.layer.name, len(self), single, self.areas, self.products

    def __len__(self) -> int:
        return len(self.sets)

    def only(self, rows: NDArray[np.int64]) -> "ChannelSets":
        """As `Subject`."""
        return replace(self, sets=self.sets[rows])

    def plan(self) -> Plan:
        """As `Subject`."""
        return choose_plan(self.generator, self.layer, len(self.sets), one_pair=self.products)

    def candidates(self, backends: Sequence[Backend]) -> tuple[Plan, ...]:
        """As `Subject`."""
        single, plans = self._single, (self.plan().on(backend) for backend in backends)
        size = self.compiled_size
        return tuple(
            x
            for plan in plans
            for x in rewritten(self.generator, plan, single=single, compiled=size)
        )

    @property
    def compiled_size(self) -> CompiledSize | None:
        """What a compiled run takes; None where what follows the cut cannot be compiled."""
        if self.areas != Areas():
            return None
        return CompiledLayer(self.generator, self.layer).size

    @property
    def _single(self) -> bool:
        """Whether every set is one channel."""
        return bool((self.sets.sum(axis=1) == 1).all())

    def kinds(self, plan: Plan) -> list[tuple[range, int]]:
        """As `Subject`: all runs are alike."""
        return [(range(min(plan.sets, len(self.sets))), -(-len(self.sets) // plan.sets))]

    def record(
        self, source: PairSource, pairs: range, plan: Plan, cancellation: Cancellation
    ) -> Batch:
        """As `Subject`."""
        latents1, latents2 = source.latents(pairs)
        generator = self.generator.on(plan.backend)
        first, second = (
            self._record(generator, latents, plan, cancellation) for latents in (latents1, latents2)
        )
        return self.batch(generator, (first, second), plan, cancellation)

    def _record(
        self, generator: Generator, latents: Latents, plan: Plan, cancellation: Cancellation
    ) -> Recording:
        if COMPILE in plan.rewrites:
            compiled = CompiledLayer(generator, self.layer)
            return compiled.record(latents, plan.rewrites, cancellation)
        return generator.record(self.layer, latents, cancellation, plan.rewrites)

    def batch(
        self,
        generator: Generator,
        recordings: tuple[Recording, Recording],
        plan: Plan,
        cancellation: Cancellation,
    ) -> Batch:
        """A batch of originals that are recorded already.

        Args:
            generator: on the plan's backend.
            recordings: of originals 1 and 2, with the plan's rewrites.
            plan: how they are run.
            cancellation: what may stop the runs.
        """
        if COMPILE in plan.rewrites:
            compiled = CompiledLayer(generator, self.layer)
            prepared = compiled.pair(recordings, cancellation)
            return _CompiledBatch(compiled, self.sets, prepared, cancellation)
        if plan.rewrites:
            fast = RewrittenLayer(generator, self.layer, self.areas, plan.rewrites)
            pair = fast.pair(recordings, cancellation)
            return _RewrittenBatch(fast, self.sets, pair, cancellation)
        image1 = generator.original(self.layer, recordings[0], cancellation)
        return _SetsBatch(replace(self, generator=generator), recordings, image1, cancellation)


@dataclass(frozen=True, eq=False)
class _SetsBatch:
    subject: ChannelSets
    recordings: tuple[Recording, Recording]
    image1: ort.OrtValue
    cancellation: Cancellation

    def effects(self, some: range) -> Effects:
        subject = self.subject
        return subject.generator.effects(
            subject.layer,
            self.recordings,
            self.image1,
            subject.sets[some.start : some.stop],
            subject.areas,
            self.cancellation,
        )


@dataclass(frozen=True, eq=False)
class _RewrittenBatch:
    layer: RewrittenLayer
    sets: NDArray[np.bool_]
    pair: Feeds
    cancellation: Cancellation

    def effects(self, some: range) -> Effects:
        return self.layer.effects(self.pair, self.sets[some.start : some.stop], self.cancellation)


@dataclass(frozen=True, eq=False)
class _CompiledBatch:
    layer: CompiledLayer
    sets: NDArray[np.bool_]
    prepared: "Prepared"
    cancellation: Cancellation

    def effects(self, some: range) -> Effects:
        sets = self.sets[some.start : some.stop]
        return self.layer.effects(self.prepared, sets, self.cancellation)


@dataclass(frozen=True, eq=False)
class Interventions:
    """Interventions at any layers, of any kind.

    Attributes:
        generator: the generator.
        interventions: at least one.
        areas: sides of the areas that maps are averaged over.
        products: whether products of effects are wanted too.
    """

    generator: Generator
    interventions: tuple[Intervention, ...]
    areas: Areas
    products: bool = False

    @property
    def shape(self) -> Hashable:
        """As `Subject`."""
        forms = tuple(sorted(Counter(self.form(i).key for i in range(len(self))).items()))
        return self.generator.manifest.digest, forms, self.areas, self.products

    def __len__(self) -> int:
        return len(self.interventions)

    def only(self, rows: NDArray[np.int64]) -> "Interventions":
        """As `Subject`."""
        return replace(self, interventions=tuple(self.interventions[i] for i in rows.tolist()))

    def plan(self) -> Plan:
        """As `Subject`: one intervention a run, and as many pairs as the widest tensor allows."""
        edits = (edit for intervention in self.interventions for edit in intervention)
        layers = [self.generator.layer(edit.layer) for edit in edits]
        first = min(layers, key=lambda layer: layer.height * layer.width)
        return choose_plan(self.generator, first, 1, one_pair=self.products)

    def candidates(self, backends: Sequence[Backend]) -> tuple[Plan, ...]:
        """As `Subject`."""
        return tuple(self.plan().on(backend) for backend in backends)

    def kinds(self, plan: Plan) -> list[tuple[range, int]]:
        """As `Subject`: those of one form are alike."""
        forms = [self.form(i) for i in range(len(self))]
        first = {form: i for i, form in reversed(list(enumerate(forms)))}
        return [(range(first[form], first[form] + 1), n) for form, n in Counter(forms).items()]

    def record(
        self, source: PairSource, pairs: range, plan: Plan, cancellation: Cancellation
    ) -> Batch:
        """As `Subject`; what a form needs is recorded when its turn comes."""
        latents1, latents2 = source.latents(pairs)
        subject = replace(self, generator=self.generator.on(plan.backend))
        donors = Donors(subject.generator, latents2, cancellation)
        return _InterventionsBatch(subject, latents1, donors, cancellation)

    def form(self, index: int) -> Form:
        """The form of an intervention."""
        return Form.of(self.generator, self.interventions[index])


@dataclass(eq=False)
class _InterventionsBatch:
    """It holds what one form needs, and changes when an intervention of another one comes."""

    subject: Interventions
    latents1: Latents
    donors: Donors
    cancellation: Cancellation
    _form: Form | None = None
    _above: Feeds = field(default_factory=dict)
    _image1: ort.OrtValue | None = None

    def effects(self, some: range) -> Effects:
        return Effects.joined([self._effects(i) for i in some])

    def _effects(self, index: int) -> Effects:
        intervention, form = self.subject.interventions[index], self.subject.form(index)
        self._change_to(form, intervention)
        slots = slots_of(intervention, self.donors)
        assert self._image1 is not None
        areas = self.subject.areas
        return form.effects(self._above, slots, self._image1, areas, self.cancellation)

    def _change_to(self, form: Form, intervention: Intervention) -> None:
        if form == self._form:
            return
        generator = self.subject.generator
        self.donors.keep([generator.layer(edit.layer).name for edit in intervention])
        self._above = form.above(self.latents1, self.cancellation)
        nothing = form.nothing(intervention)
        self._image1 = form.images(self._above, nothing, self.cancellation)
        self._form = form


def channel_set(layer: bundle_pb2.Layer, channels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(C,) booleans, true for these channels of the layer."""
    chosen = np.zeros(layer.channels, dtype=np.bool_)
    chosen[channels] = True
    return chosen
