"""Pairs of originals: from the client's values to the contract's messages."""

import numpy as np

from graftscope.client import _checks as check
from graftscope.client._choices import PairChoice
from graftscope.client._originals import (
    Encoded,
    ImagePairs,
    Images,
    LatentPairs,
    Latents,
    Originals,
    Prior,
)
from graftscope.client.errors import InputError
from graftscope.client.wire._outbox import Outbox
from graftscope.v1 import originals_pb2


def latents_to_proto(name: str, latents: Latents, outbox: Outbox) -> originals_pb2.Latents:
    """Pack latents by the inputs' names; `name` is what messages call them."""
    arrays = {
        # Generators compute in FP32, while numpy draws in FP64.
        key: array.astype(np.float32) if array.dtype == np.float64 else array
        for key, array in check.latents(name, latents).items()
    }
    return originals_pb2.Latents(inputs={key: outbox.add(array) for key, array in arrays.items()})


def originals_to_proto(originals: Originals, outbox: Outbox) -> originals_pb2.Originals:
    """Pack where originals come from.

    Raises:
        InputError: If it is none of the kinds there are.
    """
    _require_known(originals)
    match originals:
        case LatentPairs():
            return originals_pb2.Originals(latents=_latent_pairs(originals, outbox))
        case ImagePairs():
            return originals_pb2.Originals(image_pairs=_image_pairs(originals, outbox))
        case Images():
            array = outbox.add(check.images("images", originals.images))
            return originals_pb2.Originals(images=originals_pb2.Images(images=array))
        case Encoded():
            return originals_pb2.Originals(encoded=originals_pb2.Encoded())
        case _:
            return originals_pb2.Originals(prior=originals_pb2.Prior())


def _latent_pairs(pairs: LatentPairs, outbox: Outbox) -> originals_pb2.LatentPairs:
    latents1 = latents_to_proto("latents1", pairs.latents1, outbox)
    latents2 = latents_to_proto("latents2", pairs.latents2, outbox)
    sizes = [len(next(iter(side.values()))) for side in (pairs.latents1, pairs.latents2)]
    if sizes[0] != sizes[1]:
        raise InputError(
            f"latents1 has {sizes[0]} samples and latents2 has {sizes[1]}: a pair each"
        )
    return originals_pb2.LatentPairs(latents1=latents1, latents2=latents2)


def _image_pairs(pairs: ImagePairs, outbox: Outbox) -> originals_pb2.ImagePairs:
    images1 = check.images("images1", pairs.images1)
    images2 = check.images("images2", pairs.images2)
    if images1.shape != images2.shape:
        raise InputError(f"images1 has shape {images1.shape} and images2 has {images2.shape}")
    return originals_pb2.ImagePairs(images1=outbox.add(images1), images2=outbox.add(images2))


def _require_known(originals: object) -> None:
    """Refuse a name, which would otherwise pass for the prior."""
    kinds = (Prior, Encoded, Images, LatentPairs, ImagePairs)
    if not isinstance(originals, kinds):
        raise InputError(
            f"originals {originals!r} are of no known kind; there are: "
            + ", ".join(f"{kind.__name__}(...)" for kind in kinds),
            field="originals",
        )


def pairs_to_proto(choice: PairChoice, outbox: Outbox) -> originals_pb2.Pairs:
    """Pack pairs of originals; where they are given one by one, all of them."""
    pairs = _pairs(choice, outbox)
    pairs.stratified = choice.stratified
    pairs.share.extend(check.names("share", choice.share))
    if choice.fix:
        fixed = {name: np.asarray(value) for name, value in choice.fix.items()}
        pairs.fix.CopyFrom(latents_to_proto("fix", fixed, outbox))
    return pairs


def _pairs(choice: PairChoice, outbox: Outbox) -> originals_pb2.Pairs:
    match choice.originals:
        case LatentPairs(latents1=latents):
            originals = originals_to_proto(choice.originals, outbox)
            count = len(next(iter(latents.values())))
            return originals_pb2.Pairs(count=count, originals=originals)
        case ImagePairs(images1=images):
            originals = originals_to_proto(choice.originals, outbox)
            return originals_pb2.Pairs(count=len(images), originals=originals)
        case _:
            return _drawn_pairs(choice, outbox)


def _drawn_pairs(choice: PairChoice, outbox: Outbox) -> originals_pb2.Pairs:
    pairs = originals_pb2.Pairs(
        count=check.whole_number("pairs", choice.count, low=1),
        seed=check.whole_number("seed", choice.seed),
        first=check.whole_number("first", choice.first),
    )
    if choice.originals is not None:
        pairs.originals.CopyFrom(originals_to_proto(choice.originals, outbox))
    return pairs
