"""Any intervention on a generator: what crosses the cut, what is assigned, images and effects.

The graph is built once for a form, that is for the layers and kinds of assignment; places, values
and factors are fed. Letters: B pairs, C channels, (c, H, W) the image. It must not know jobs, gRPC
or where pairs come from.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
from numpy.typing import NDArray

from graftscope.graph import (
    HYBRIDS,
    IMAGE1,
    MOMENT,
    PIXEL_MEANS,
    TOTAL,
    Areas,
    Assignment,
    Intervened,
    Slot,
    factor_name,
    intervene,
    reduce_effects,
    value_name,
    where_name,
)
from graftscope.server.engine._cancellation import Cancellation
from graftscope.server.engine._edits import (
    ORIGINAL2,
    Donor,
    Edit,
    Intervention,
    arranged,
    places,
)
from graftscope.server.engine._generator import Effects, Generator, Latents
from graftscope.server.engine._originals import has_prior_mean, prior_mean
from graftscope.server.engine._sessions import Feed
from graftscope.v1 import bundle_pb2

Feeds: TypeAlias = dict[str, Feed]

# Recordings of stored donors that a batch keeps for the next interventions.
_DONORS_KEPT = 4


@dataclass(frozen=True)
class Form:
    """A generator with the slots of an intervention built in.

    Attributes:
        generator: the generator.
        slots: one an edit.
    """

    generator: Generator
    slots: tuple[Slot, ...]

    @classmethod
    def of(cls, generator: Generator, intervention: Intervention) -> "Form":
        """The form of an intervention."""
        slots = (Slot(generator.layer(x.layer).tensor, _assignment(x)) for x in intervention)
        return cls(generator, tuple(slots))

    def is_open(self, intervention: Intervention) -> bool:
        """Whether hybrids of an intervention of this form can be made without opening anything."""
        has_upper = f"upper/{self.key}" in self.generator.memo and self._above_is_open()
        return (
            has_upper
            and self.generator.is_open(f"{self.key}/hybrids")
            and all(self._is_at_hand(edit) for edit in intervention)
        )

    def above(self, latents: Latents, cancellation: Cancellation | None) -> Feeds:
        """What a sample's lower half reads beside the slots; it stays on the device."""
        has_upper = self.generator.memo.get(f"upper/{self.key}", self._has_upper)
        if not has_upper:
            return dict(latents)
        upper = self.generator.session(f"{self.key}/upper", self._upper)
        return {**latents, **upper.run(latents, cancellation)}

    def images(self, above: Feeds, slots: Feeds, cancellation: Cancellation | None) -> ort.OrtValue:
        """Hybrids, (B, c, H, W); with slots that assign nowhere, the original itself."""
        session = self.generator.session(f"{self.key}/hybrids", self._lower)
        return session.run({**above, **slots}, cancellation)[HYBRIDS]

    def effects(
        self,
        above: Feeds,
        slots: Feeds,
        image1: ort.OrtValue,
        areas: Areas,
        cancellation: Cancellation | None,
    ) -> Effects:
        """Sums of |hybrid - original 1| over the pairs, for one set (equation 3)."""
        purpose = f"{self.key}/effects{areas.height}x{areas.width}"
        session = self.generator.session(purpose, lambda: self._lower(areas))
        outputs = session.run({**above, **slots, IMAGE1: image1}, cancellation)
        return Effects(*(outputs[name] for name in (TOTAL, MOMENT, PIXEL_MEANS)))

    def nothing(self, intervention: Intervention) -> Feeds:
        """Slots that assign nowhere."""
        feeds: Feeds = {}
        for i, edit in enumerate(intervention):
            layer = self.generator.layer(edit.layer)
            one = arranged(layer, np.ones(1, dtype=np.float32))
            feeds |= _slot(i, _assignment(edit), one > 1, one, one)
        return feeds

    def _above_is_open(self) -> bool:
        has_upper = self.generator.memo.get(f"upper/{self.key}", self._has_upper)
        return not has_upper or self.generator.is_open(f"{self.key}/upper")

    def _is_at_hand(self, edit: Edit[NDArray[Any]]) -> bool:
        """Whether what an edit assigns is there, or can be recorded at once."""
        layer = self.generator.layer(edit.layer)
        if edit.action == "prior_mean":
            return has_prior_mean(self.generator, layer)
        is_recorded = edit.action in ("swap", "blend") and layer.upstream
        return not is_recorded or self.generator.is_open(layer.upstream)

    @property
    def key(self) -> str:
        """What the form is called among those of its generator."""
        slots = (f"{slot.tensor}={slot.assignment.value}" for slot in self.slots)
        return f"intervene/{'&'.join(slots)}"

    def _has_upper(self) -> bool:
        return self._intervened().upstream is not None

    def _upper(self) -> ir.Model:
        upstream = self._intervened().upstream
        assert upstream is not None
        return upstream

    def _lower(self, areas: Areas | None = None) -> ir.Model:
        model = self._intervened().downstream
        return model if areas is None else reduce_effects(model, areas=areas)

    def _intervened(self) -> Intervened:
        folder = self.generator.folder
        return intervene(ir.load(folder.file(folder.manifest.generator)), self.slots)


@dataclass(eq=False)
class Donors:
    """What donors hold at layers while their samples are generated without any intervention.

    Original 2's recordings are kept for the layers of the form that is run, stored donors' for the
    last few.

    Attributes:
        generator: the generator.
        latents2: of original 2 of every pair, (B, ...).
        cancellation: what may stop the runs.
    """

    generator: Generator
    latents2: Latents
    cancellation: Cancellation | None
    _second: dict[str, ort.OrtValue] = field(default_factory=dict)
    _stored: list[tuple[Donor[NDArray[Any]], str, ort.OrtValue]] = field(default_factory=list)

    def keep(self, layers: Sequence[str]) -> None:
        """Forgets original 2's recordings at other layers."""
        self._second = {name: self._second[name] for name in layers if name in self._second}

    def activation(self, donor: Donor[NDArray[Any]], layer: bundle_pb2.Layer) -> ort.OrtValue:
        """(B, ...) of original 2, or (1, ...) of a stored donor."""
        if donor.is_original2:
            if layer.name not in self._second:
                self._second[layer.name] = self._record(self.latents2, layer)
            return self._second[layer.name]
        for kept, name, value in self._stored:
            if kept is donor and name == layer.name:
                return value
        value = self._record(donor.arrays, layer)
        self._stored = [*self._stored[1 - _DONORS_KEPT :], (donor, layer.name, value)]
        return value

    def of_some(
        self, donor: Donor[NDArray[Any]], layer: bundle_pb2.Layer, rows: slice | None
    ) -> Feed:
        """As `activation`, of some of the pairs; None for all."""
        value = self.activation(donor, layer)
        # The whole is on the device already; a part of it has to go through the host.
        if rows in (None, slice(0, value.shape()[0])) or not donor.is_original2:
            return value
        return value.numpy()[rows]

    def _record(self, latents: Latents, layer: bundle_pb2.Layer) -> ort.OrtValue:
        return self.generator.record(layer, latents, self.cancellation).activation


def slots_of(intervention: Intervention, donors: Donors, rows: slice | None = None) -> Feeds:
    """Where, what and by which factor every edit assigns, on some pairs or on all."""
    feeds: Feeds = {}
    for i, edit in enumerate(intervention):
        layer = donors.generator.layer(edit.layer)
        value, factor = _value(layer, edit, donors, rows), _factor(edit)
        scale = arranged(layer, np.full(1, factor, dtype=np.float32))
        feeds |= _slot(i, _assignment(edit), places(layer, edit), value, scale)
    return feeds


def stacked_slots(slots: Sequence[Feeds], counts: Sequence[int]) -> Feeds:
    """The slots of several interventions of one form, each on pairs of its own.

    Args:
        slots: what each assigns, broadcast over its pairs.
        counts: how many pairs each has.
    """
    if len(slots) == 1:
        return slots[0]
    return {name: _stacked([_on_host(each[name]) for each in slots], counts) for name in slots[0]}


def _stacked(arrays: Sequence[NDArray[np.generic]], counts: Sequence[int]) -> NDArray[np.generic]:
    inner = np.broadcast_shapes(*(array.shape[1:] for array in arrays))
    wide = [np.broadcast_to(x, (n, *inner)) for x, n in zip(arrays, counts, strict=True)]
    return np.concatenate(wide)


def _on_host(value: Feed) -> NDArray[Any]:
    array: NDArray[Any] = value.numpy() if isinstance(value, ort.OrtValue) else value
    return array


def _slot(
    index: int,
    assignment: Assignment,
    where: NDArray[np.bool_],
    value: Feed,
    factor: NDArray[np.float32],
) -> Feeds:
    feeds: Feeds = {where_name(index): where, value_name(index): value}
    return feeds | {factor_name(index): factor} if assignment is Assignment.AFFINE else feeds


def _assignment(edit: Edit[NDArray[Any]]) -> Assignment:
    return Assignment.REPLACE if edit.replaces else Assignment.AFFINE


def _factor(edit: Edit[NDArray[Any]]) -> float:
    number = edit.number or 0.0
    return {"scale": number, "blend": 1 - number}.get(edit.action, 1.0)


def _value(
    layer: bundle_pb2.Layer, edit: Edit[NDArray[Any]], donors: Donors, rows: slice | None
) -> Feed:
    number = edit.number or 0.0
    match edit.action:
        case "swap":
            return donors.of_some(edit.donor or ORIGINAL2, layer, rows)
        case "blend":
            recorded: NDArray[np.float32] = _on_host(
                donors.of_some(edit.donor or ORIGINAL2, layer, rows)
            )
            return np.float32(number) * recorded
        case "prior_mean":
            return arranged(layer, prior_mean(donors.generator, layer, donors.cancellation))
        case "constant" | "add":
            given = np.full(1, number) if edit.array is None else edit.array
            return arranged(layer, given.astype(np.float32, copy=False))
        case _:
            return arranged(layer, np.zeros(1, dtype=np.float32))
