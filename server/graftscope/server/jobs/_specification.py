"""What a job computes, as plain values; its canonical form decides the job's identity.

Arrays are named by their sha256, so a specification is small and can be stored as JSON. It must not
know protobuf, sessions or how the job is cut into runs.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Self


@dataclass(frozen=True)
class ArrayRef:
    """An array in the artifact store.

    Attributes:
        sha256: of the elements in C order, little-endian; lowercase hexadecimal.
        datatype: KServe's name, such as FP64.
        shape: extents, outermost axis first.
    """

    sha256: str
    datatype: str
    shape: tuple[int, ...]

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> Self:
        """The inverse of `dataclasses.asdict` after a trip through JSON."""
        shape = value["shape"]
        assert isinstance(shape, list | tuple)
        return cls(str(value["sha256"]), str(value["datatype"]), tuple(int(x) for x in shape))


@dataclass(frozen=True)
class OriginalsSpec:
    """Where originals come from.

    Attributes:
        kind: prior, encoded, images, latents or image_pairs.
        arrays: what the kind needs: `images`; `latents1/NAME` and `latents2/NAME`; `images1` and
            `images2`.
    """

    kind: str
    arrays: Mapping[str, ArrayRef]


@dataclass(frozen=True)
class InfluenceSpec:
    """Influence maps of sets of channels at one layer.

    Attributes:
        model: the bundle's digest.
        layer: the layer's name.
        channels: how many channels the layer has.
        sets: the channels of each E, ascending.
        indices: what each map is reported as: the channel, or the module's index.
        subject: channels or modules.
        originals: where originals come from.
        seed: of the pairs; 0 where they are given.
        first: index of the first pair.
        pairs: how many.
        map_size: longest side of a map, resolved.
        arithmetic: version of the arithmetic.
        precision: fp32.
    """

    model: str
    layer: str
    channels: int
    sets: tuple[tuple[int, ...], ...]
    indices: tuple[int, ...]
    subject: str
    originals: OriginalsSpec
    seed: int
    first: int
    pairs: int
    map_size: int
    arithmetic: int
    precision: str = "fp32"
    analysis: str = "influence"

    @classmethod
    def from_json(cls, value: dict[str, object]) -> Self:
        """The inverse of `canonical`."""
        fields = dict(value)
        originals = fields.pop("originals")
        sets, indices = fields.pop("sets"), fields.pop("indices")
        assert isinstance(originals, dict)
        assert isinstance(sets, list)
        assert isinstance(indices, list)
        arrays = {name: ArrayRef.from_json(ref) for name, ref in originals["arrays"].items()}
        return cls(
            originals=OriginalsSpec(originals["kind"], arrays),
            sets=tuple(tuple(channels) for channels in sets),
            indices=tuple(indices),
            **fields,  # type: ignore[arg-type]
        )


@dataclass(frozen=True)
class ModulesSpec:
    """Modules from influence maps.

    Attributes:
        maps: (C, H, W).
        k: number of modules.
        method: nmf or kmeans.
        seeds: the first gives the modules; the others tell how far they depend on it.
        window: side of the averaging window in pixels, odd.
        percentile: between 0 and 100.
        version: of the arithmetic.
    """

    maps: ArrayRef
    k: int
    method: str
    seeds: tuple[int, ...]
    window: int
    percentile: float
    version: int = 1
    analysis: str = "modules"

    @classmethod
    def from_json(cls, value: dict[str, object]) -> Self:
        """The inverse of `canonical`."""
        fields = dict(value)
        maps, seeds = fields.pop("maps"), fields.pop("seeds")
        assert isinstance(maps, dict)
        assert isinstance(seeds, list)
        return cls(maps=ArrayRef.from_json(maps), seeds=tuple(seeds), **fields)  # type: ignore[arg-type]


Spec = InfluenceSpec | ModulesSpec


def canonical(spec: Spec) -> str:
    """The specification as JSON with sorted keys and no spaces: equal text, equal result."""
    return json.dumps(asdict(spec), sort_keys=True, separators=(",", ":"))


def identity(spec: Spec) -> str:
    """sha256 of the canonical specification, lowercase hexadecimal."""
    return hashlib.sha256(canonical(spec).encode()).hexdigest()


def parse_spec(text: str) -> Spec:
    """The inverse of `canonical`."""
    value = json.loads(text)
    kinds: dict[str, type[InfluenceSpec] | type[ModulesSpec]] = {
        "influence": InfluenceSpec,
        "modules": ModulesSpec,
    }
    return kinds[value["analysis"]].from_json(value)


def input_arrays(spec: Spec) -> tuple[ArrayRef, ...]:
    """The stored arrays that a job needs."""
    if isinstance(spec, ModulesSpec):
        return (spec.maps,)
    return tuple(spec.originals.arrays.values())
