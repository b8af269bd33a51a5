"""Requests: from the client's values to the contract's messages."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from graftscope.client import _checks as check
from graftscope.client._choices import ChannelChoice, PairChoice
from graftscope.client._jobs import InfluenceTask, Method, ModulesTask
from graftscope.client._originals import (
    Encoded,
    ImagePairs,
    Images,
    LatentPairs,
    Latents,
    Originals,
)
from graftscope.client.errors import InputError, UsageError
from graftscope.client.wire._outbox import Outbox
from graftscope.v1 import (
    analysis_service_pb2,
    intervention_pb2,
    model_service_pb2,
    originals_pb2,
    tensor_pb2,
)

METHODS = {
    Method.NMF: analysis_service_pb2.METHOD_NMF,
    Method.KMEANS: analysis_service_pb2.METHOD_KMEANS,
    Method.PCA: analysis_service_pb2.METHOD_PCA,
}


def model_name(name: str) -> str:
    """Make the contract's form of a model's name: ``models/NAME``."""
    if not name.removeprefix("models/"):
        raise InputError("the model's name is empty", field="model")
    return f"models/{name.removeprefix('models/')}"


def operation_name(name: str) -> str:
    """Make the contract's form of an operation's name: ``operations/ID``."""
    if not name.removeprefix("operations/"):
        raise InputError("the operation's name is empty", field="name")
    return f"operations/{name.removeprefix('operations/')}"


def latents_to_proto(name: str, latents: Latents, outbox: Outbox) -> originals_pb2.Latents:
    """Pack latents by the inputs' names; `name` is what messages call them."""
    arrays = {
        # Generators compute in FP32, while numpy draws in FP64.
        key: array.astype(np.float32) if array.dtype == np.float64 else array
        for key, array in check.latents(name, latents).items()
    }
    return originals_pb2.Latents(inputs={key: outbox.add(array) for key, array in arrays.items()})


def originals_to_proto(originals: Originals, outbox: Outbox) -> originals_pb2.Originals:
    """Pack where originals come from."""
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


def pairs_to_proto(choice: PairChoice, outbox: Outbox) -> originals_pb2.Pairs:
    """Pack pairs of originals; where they are given one by one, all of them."""
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


def generate_request(
    model: str, source: PairChoice | Latents, outbox: Outbox
) -> model_service_pb2.GenerateRequest:
    """Ask for samples: original 1 of every pair, or of given latents."""
    request = model_service_pb2.GenerateRequest(model=model_name(model))
    if isinstance(source, PairChoice):
        request.samples.CopyFrom(pairs_to_proto(source, outbox))
    else:
        request.latents.CopyFrom(latents_to_proto("latents", source, outbox))
    return request


def encode_request(
    model: str, images: NDArray[np.uint8], outbox: Outbox
) -> model_service_pb2.EncodeRequest:
    """Ask for images' posteriors."""
    array = outbox.add(check.images("images", images))
    return model_service_pb2.EncodeRequest(model=model_name(model), images=array)


def hybridize_request(
    model: str, layer: str, target: ChannelChoice, pairs: PairChoice, outbox: Outbox
) -> model_service_pb2.HybridizeRequest:
    """Ask for hybrids: one swap from original 2 at one layer."""
    edit = intervention_pb2.Edit(
        layer=layer,
        swap=intervention_pb2.Swap(original2=intervention_pb2.Original2()),
    )
    _set_target(edit, target, outbox)
    return model_service_pb2.HybridizeRequest(
        model=model_name(model),
        intervention=intervention_pb2.Intervention(edits=[edit]),
        pairs=pairs_to_proto(pairs, outbox),
    )


def _set_target(edit: intervention_pb2.Edit, target: ChannelChoice, outbox: Outbox) -> None:
    """State which channels are assigned: E, in one of its two forms."""
    match target:
        case ChannelChoice(channels=channels, labels=None, module=None) if channels is not None:
            indices = check.channel_indices(channels, may_be_empty=True)
            edit.channels.CopyFrom(intervention_pb2.Channels(indices=indices))
        case ChannelChoice(channels=None, labels=labels, module=module) if (
            labels is not None and module is not None
        ):
            array = check.module_labels(labels)
            index = check.whole_number("module", module, high=int(array.max()))
            edit.module.CopyFrom(intervention_pb2.Module(labels=outbox.add(array), index=index))
        case _:
            raise UsageError("say which channels: either `channels`, or `labels` and `module`")


def influence_request(task: InfluenceTask, outbox: Outbox) -> analysis_service_pb2.InfluenceRequest:
    """Ask for influence maps."""
    request = analysis_service_pb2.InfluenceRequest(
        model=model_name(task.model),
        layer=task.layer,
        pairs=pairs_to_proto(PairChoice(task.pairs, task.seed, task.first, task.originals), outbox),
        map_size=check.whole_number("map_size", task.map_size),
    )
    if task.labels is not None and task.channels is not None:
        raise UsageError("say either `channels` or `labels`: maps of channels, or of modules")
    if task.labels is not None:
        request.each_module.CopyFrom(outbox.add(check.module_labels(task.labels)))
    else:
        request.each_channel.CopyFrom(_each_channel(task.channels))
    return request


def _each_channel(channels: Sequence[int] | None) -> intervention_pb2.Channels:
    # On the wire an empty list means all, so an empty choice must not get there.
    indices = () if channels is None else check.channel_indices(channels, may_be_empty=False)
    return intervention_pb2.Channels(indices=indices)


def modules_request(task: ModulesTask, outbox: Outbox) -> analysis_service_pb2.ModulesRequest:
    """Ask for modules."""
    seeds = [check.whole_number("seed", seed) for seed in task.seeds]
    if not seeds:
        raise InputError("no seeds: give at least one", field="seeds")
    return analysis_service_pb2.ModulesRequest(
        k=check.whole_number("k", task.k, low=1),
        maps=_maps(task, outbox),
        method=METHODS[_method(task.method)],
        seeds=seeds,
        window=_window(task.window),
        percentile=_percentile(task.percentile),
    )


def _maps(task: ModulesTask, outbox: Outbox) -> tensor_pb2.Array:
    if isinstance(task.maps, str):
        name = operation_name(task.maps)
        return tensor_pb2.Array(result=tensor_pb2.OperationResult(operation=name, array="maps"))
    maps = check.influence_maps(task.maps)
    if task.k > len(maps):
        raise InputError(f"k {task.k} is more than the {len(maps)} maps there are", field="k")
    return outbox.add(maps)


def _method(method: Method) -> Method:
    try:
        return Method(method)
    except ValueError:
        allowed = ", ".join(Method)
        raise InputError(f"method {method!r} is unknown; there are: {allowed}") from None


def _window(window: int) -> int:
    if check.whole_number("window", window, low=1) % 2 == 0:
        raise InputError(f"window {window} is not allowed: it must be odd", field="window")
    return window


def _percentile(percentile: float) -> float:
    # On the wire 0 means the default, so it cannot be asked for.
    if not 0.0 < percentile < 100.0:
        raise InputError(
            f"percentile {percentile:g} is not allowed: it must lie above 0 and below 100",
            field="percentile",
        )
    return percentile
