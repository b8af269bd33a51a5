"""Requests for what is answered at once: from the client's values to the contract's messages."""

import numpy as np
from numpy.typing import NDArray

from graftscope.client import _checks as check
from graftscope.client._choices import ChannelChoice, PairChoice
from graftscope.client._originals import Latents
from graftscope.client.errors import UsageError
from graftscope.client.wire._names import model_name
from graftscope.client.wire._originals import latents_to_proto, pairs_to_proto
from graftscope.client.wire._outbox import Outbox
from graftscope.v1 import intervention_pb2, model_service_pb2


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
