"""Requests for what is answered at once: from the client's values to the contract's messages."""

import numpy as np
from numpy.typing import NDArray

from graftscope.client import _checks as check
from graftscope.client._choices import PairChoice
from graftscope.client._encodings import ImageEncoding
from graftscope.client._interventions import Intervention
from graftscope.client._originals import Latents
from graftscope.client.wire._enums import ENCODINGS
from graftscope.client.wire._interventions import intervention_to_proto
from graftscope.client.wire._names import model_name
from graftscope.client.wire._originals import latents_to_proto, pairs_to_proto
from graftscope.client.wire._outbox import Outbox
from graftscope.client.wire._precision import precision_to_proto
from graftscope.v1 import model_service_pb2


def generate_request(
    model: str,
    source: PairChoice | Latents,
    outbox: Outbox,
    precision: str = "fp32",
    encoding: ImageEncoding | None = None,
) -> model_service_pb2.GenerateRequest:
    """Ask for samples: original 1 of every pair, or of given latents."""
    request = model_service_pb2.GenerateRequest(
        model=model_name(model),
        precision=precision_to_proto(precision),
        encoding=ENCODINGS[encoding],
    )
    if isinstance(source, PairChoice):
        request.samples.CopyFrom(pairs_to_proto(source, outbox))
    else:
        request.latents.CopyFrom(latents_to_proto("latents", source, outbox))
    return request


def encode_request(
    model: str, images: NDArray[np.uint8], outbox: Outbox, precision: str = "fp32"
) -> model_service_pb2.EncodeRequest:
    """Ask for images' posteriors."""
    array = outbox.add(check.images("images", images))
    return model_service_pb2.EncodeRequest(
        model=model_name(model), images=array, precision=precision_to_proto(precision)
    )


def hybridize_request(
    model: str,
    intervention: Intervention,
    pairs: PairChoice,
    outbox: Outbox,
    precision: str = "fp32",
    encoding: ImageEncoding | None = None,
) -> model_service_pb2.HybridizeRequest:
    """Ask for hybrids."""
    return model_service_pb2.HybridizeRequest(
        model=model_name(model),
        intervention=intervention_to_proto(intervention, outbox),
        pairs=pairs_to_proto(pairs, outbox),
        precision=precision_to_proto(precision),
        encoding=ENCODINGS[encoding],
    )
