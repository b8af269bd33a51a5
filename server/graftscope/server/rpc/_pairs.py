"""From messages to where originals come from: what a client may get wrong there is found here.

It must not know what is done with the pairs.
"""

import asyncio
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graftscope.server.analysis import GROUP_PAIRS, MAX_PAIRS
from graftscope.server.engine import (
    Generator,
    check_input,
    check_latents,
    check_missing,
    check_names,
    image_input,
    to_range,
)
from graftscope.server.errors import InvalidInput
from graftscope.server.jobs import ArrayRef, OriginalsSpec
from graftscope.server.rpc._arrays import Arrays
from graftscope.v1 import originals_pb2, tensor_pb2

_SPREADABLE = ("prior", "encoded")


@dataclass(frozen=True)
class ChosenPairs:
    """The fields of a specification that tell which pairs are meant.

    Attributes:
        originals: where they come from.
        seed: of the pairs; 0 where they are given.
        first: index of the first.
        pairs: how many.
    """

    originals: OriginalsSpec
    seed: int
    first: int
    pairs: int


@dataclass(frozen=True)
class PairRequests:
    """Parses where a generator's pairs come from, and what they have in common.

    Attributes:
        generator: whose inputs.
        arrays: reads arrays.
        called: the request's field that holds the pairs, for messages.
    """

    generator: Generator
    arrays: Arrays
    called: str = "pairs"

    async def pairs(self, pairs: originals_pb2.Pairs) -> ChosenPairs:
        """Which pairs are meant, and where they come from.

        Raises:
            InvalidInput: a value is not allowed.
            NotFound: an array does not exist, or the model has no encoder.
        """
        share = _shared(self.generator, pairs, self.called)
        fix = await self._fixed(pairs.fix)
        _check_apart(share, fix, self.called)
        kind = pairs.originals.WhichOneof("source")
        if kind in ("latents", "image_pairs"):
            originals, available = await self._given(pairs, kind)
            count, seed = _rest(pairs, available, self.called), 0
        else:
            _check_count(pairs, self.called)
            originals = await self._drawn(pairs, kind)
            count, seed = pairs.count, pairs.seed
        if pairs.stratified:
            _check_stratified(pairs, originals.kind, self.called)
        arrays = {**originals.arrays, **{f"fix/{name}": ref for name, ref in fix.items()}}
        originals = OriginalsSpec(originals.kind, arrays, share, pairs.stratified)
        return ChosenPairs(originals, seed, pairs.first, count)

    async def latents(
        self,
        message: originals_pb2.Latents,
        field: str,
        optional: frozenset[str] = frozenset(),
    ) -> tuple[dict[str, ArrayRef], int]:
        """Given latents by the input's name, and the number of samples.

        Args:
            message: what is given.
            field: what it is called in messages.
            optional: names of inputs that may be missing beside noise and what the bundle fixes.

        Raises:
            InvalidInput: names, shapes or types do not fit, or a value is not allowed.
            NotFound: an array does not exist.
        """
        latents = await self.arrays.read_latents(message, field)
        count = await asyncio.to_thread(check_latents, self.generator, latents, field, optional)
        refs = {
            name: await self.arrays.refer(array, field) for name, array in message.inputs.items()
        }
        return refs, count

    async def images(
        self,
        message: tensor_pb2.Array,
        field: str,
        optional: frozenset[str] | None = None,
    ) -> NDArray[np.uint8]:
        """Images for the encoder, (B, H, W, c) UINT8.

        Args:
            message: the images.
            field: what they are called in messages.
            optional: names of inputs that images need not tell, where samples are to be generated
                from them; None where they are only encoded.

        Raises:
            InvalidInput: they are not of the generator's size, or do not tell enough.
            NotFound: the array does not exist, or the model has no encoder.
        """
        encoded = image_input(self.generator)
        if optional is not None:
            check_missing(self.generator, {encoded}, field, optional)
        images = await self.arrays.read(message, field)
        if images.ndim and not len(images):
            raise InvalidInput(f"{field} holds no image; at least 1 is needed", field=field)
        # One is enough to tell: all have one shape and type.
        to_range(images[:1] if images.ndim else images, self.generator.manifest.image)  # type: ignore[arg-type]
        return images  # type: ignore[return-value]

    async def _fixed(self, message: originals_pb2.Latents) -> dict[str, ArrayRef]:
        """Inputs that are the same in every sample, (1, ...) each."""
        latents = await self.arrays.read_latents(message, f"{self.called}.fix")
        check_names(self.generator, latents, f"{self.called}.fix")
        for value in self.generator.manifest.inputs:
            if value.name not in latents:
                continue
            field, array = f"{self.called}.fix[{value.name}]", latents[value.name]
            check_input(value, array, field)
            if len(array) != 1:
                raise InvalidInput(
                    f"{field} holds {len(array)} values; one for all samples is needed", field=field
                )
        return {
            name: await self.arrays.refer(array, f"{self.called}.fix[{name}]")
            for name, array in message.inputs.items()
        }

    async def _given(self, pairs: originals_pb2.Pairs, kind: str) -> tuple[OriginalsSpec, int]:
        """Pairs that are all in the request, and their number."""
        arrays: dict[str, ArrayRef] = {}
        counts = []
        for which in (1, 2):
            optional = frozenset(pairs.fix.inputs) | frozenset(pairs.share if which == 2 else ())
            if kind == "latents":
                name = f"latents{which}"
                message = getattr(pairs.originals.latents, name)
                refs, count = await self.latents(message, name, optional)
                arrays |= {f"{name}/{key}": ref for key, ref in refs.items()}
            else:
                name = f"images{which}"
                message = getattr(pairs.originals.image_pairs, name)
                count = len(await self.images(message, name, optional))
                arrays[name] = await self.arrays.refer(message, name)
            counts.append(count)
        self._check_given(pairs, kind, arrays)
        if counts[0] != counts[1]:
            raise InvalidInput(
                f"original 1 is given {counts[0]} times and original 2 {counts[1]} times; pairs "
                "need the same number of both",
                field=f"{self.called}.originals",
            )
        return OriginalsSpec(kind, arrays), counts[0]

    def _check_given(
        self, pairs: originals_pb2.Pairs, kind: str, arrays: dict[str, ArrayRef]
    ) -> None:
        """Refuses an input that is given and would be replaced, being fixed or shared as well."""
        if kind == "latents":
            names = {key: key.split("/", 1) for key in arrays}
        else:
            encoded = image_input(self.generator)
            names = {key: [key, encoded] for key in arrays}
        for key, (which, name) in names.items():
            self._check_not_fixed(pairs, name, which)
            # What is the same in both originals is not replaced by anything else.
            first = arrays.get(key.replace("2", "1", 1))
            if which.endswith("2") and name in pairs.share and arrays[key] != first:
                raise InvalidInput(
                    f"input {name!r} is in {self.called}.share, and {which} gives it other values "
                    f"than original 1 has; leave it out of {which}, or out of {self.called}.share",
                    field=f"{self.called}.share",
                )

    def _check_not_fixed(self, pairs: originals_pb2.Pairs, name: str, which: str) -> None:
        if name in pairs.fix.inputs:
            raise InvalidInput(
                f"input {name!r} is in {self.called}.fix and given by {which}; what is fixed is "
                f"the same in every sample, so leave it out of {self.called}.fix or of {which}",
                field=f"{self.called}.fix[{name}]",
            )

    async def _drawn(self, pairs: originals_pb2.Pairs, kind: str | None) -> OriginalsSpec:
        if kind == "images":
            images = pairs.originals.images.images
            await self.images(images, "images", frozenset(pairs.fix.inputs))
            self._check_not_fixed(pairs, image_input(self.generator), "images")
            return OriginalsSpec("images", {"images": await self.arrays.refer(images, "images")})
        has_encoder = self.generator.manifest.HasField("encoder")
        usable = has_encoder and bool(self.generator.manifest.encoder.originals)
        if kind == "encoded" and not usable:
            raise InvalidInput(
                f"model {self.generator.manifest.name!r} has no encodings of training images; use "
                "originals from the prior",
                field=f"{self.called}.originals",
            )
        return OriginalsSpec(kind or ("encoded" if usable else "prior"), {})


def _shared(generator: Generator, pairs: originals_pb2.Pairs, called: str) -> tuple[str, ...]:
    check_names(generator, pairs.share, f"{called}.share")
    if len(set(pairs.share)) < len(pairs.share):
        raise InvalidInput(
            f"{called}.share names an input more than once: {', '.join(pairs.share)}",
            field=f"{called}.share",
        )
    return tuple(sorted(pairs.share))


def _check_apart(share: tuple[str, ...], fix: dict[str, ArrayRef], called: str) -> None:
    """Refuses an input that is both: what is fixed is shared already."""
    both = [name for name in share if name in fix]
    if both:
        raise InvalidInput(
            f"input {both[0]!r} is in {called}.share and in {called}.fix; what is fixed is the "
            "same in both originals already, so name it once",
            field=f"{called}.share",
        )


def _check_count(pairs: originals_pb2.Pairs, called: str) -> None:
    if not 1 <= pairs.count <= MAX_PAIRS:
        raise InvalidInput(
            f"{called}.count is {pairs.count}; 1 to {MAX_PAIRS} is allowed", field=f"{called}.count"
        )


def _check_stratified(pairs: originals_pb2.Pairs, kind: str, called: str) -> None:
    """Refuses pairs that cannot be spread evenly: given ones, real images, parts of a group."""
    if kind not in _SPREADABLE:
        raise InvalidInput(
            f"originals are {kind}, and stratified are only latents that are drawn from a "
            f"distribution; {' and '.join(_SPREADABLE)} are allowed",
            field=f"{called}.stratified",
        )
    wrong = [name for name in ("first", "count") if getattr(pairs, name) % GROUP_PAIRS]
    if wrong:
        told = [
            f"{called}.{name} is {getattr(pairs, name)} (nearest: "
            f"{_multiples(getattr(pairs, name), int(name == 'count'))})"
            for name in wrong
        ]
        raise InvalidInput(
            f"{' and '.join(told)}; stratified pairs come in whole groups of {GROUP_PAIRS}",
            field=f"{called}.{wrong[-1]}",
        )


def _multiples(number: int, least: int) -> str:
    """The multiples of a group's size on either side of a number, or the number itself."""
    below = number // GROUP_PAIRS
    found = {below, below + (number % GROUP_PAIRS > 0)}
    return " or ".join(str(each * GROUP_PAIRS) for each in sorted(found) if each >= least)


def _rest(pairs: originals_pb2.Pairs, available: int, called: str) -> int:
    """How many of the given pairs are left from the first one on."""
    if pairs.first >= available:
        raise InvalidInput(
            f"{called}.first is {pairs.first}; {available} pairs are given, so 0 to "
            f"{available - 1} is allowed",
            field=f"{called}.first",
        )
    return available - pairs.first
