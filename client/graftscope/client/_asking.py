"""Flows about models and what they generate while the caller waits."""

import numpy as np
from numpy.typing import NDArray

from graftscope.client._choices import PairChoice
from graftscope.client._encodings import HybridFiles, SampleFiles, checked_encoding
from graftscope.client._flow import Flow, call
from graftscope.client._interventions import Intervention
from graftscope.client._models import Model
from graftscope.client._originals import Latents
from graftscope.client._results import HybridResult, Posterior, Samples
from graftscope.client._transfers import fetch_all, send_large
from graftscope.client.wire import (
    Outbox,
    arrays_of,
    encode_request,
    generate_request,
    hybrid_files_from,
    hybridize_request,
    hybrids_from,
    model_from_proto,
    model_name,
    posterior_from,
    sample_files_from,
    samples_from,
)
from graftscope.v1 import model_service_pb2


def models() -> Flow[tuple[Model, ...]]:
    """List all models, page after page."""
    found: list[Model] = []
    token = ""
    while True:
        request = model_service_pb2.ListModelsRequest(page_token=token)
        page = yield from call(lambda stubs: stubs.models.ListModels, request)
        found += [model_from_proto(model) for model in page.models]
        token = page.next_page_token
        if not token:
            return tuple(found)


def model(name: str) -> Flow[Model]:
    """Ask for one model."""
    request = model_service_pb2.GetModelRequest(name=model_name(name))
    reply = yield from call(lambda stubs: stubs.models.GetModel, request)
    return model_from_proto(reply.model)


def generate(
    model: str,
    source: PairChoice | Latents,
    precision: str = "fp32",
    encoding: str | None = None,
) -> Flow[Samples | SampleFiles]:
    """Generate samples, as an array or as files."""
    chosen = None if encoding is None else checked_encoding(encoding)
    outbox = Outbox()
    if isinstance(source, PairChoice):
        source = yield from _fixed(source, model)
    request = generate_request(model, source, outbox, precision, chosen)
    yield from send_large(outbox)
    reply = yield from call(lambda stubs: stubs.models.Generate, request)
    arrays = yield from fetch_all(arrays_of(reply))
    if chosen is not None:
        return sample_files_from(reply, arrays, chosen)
    return samples_from(reply, arrays)


def encode(model: str, images: NDArray[np.uint8], precision: str = "fp32") -> Flow[Posterior]:
    """Encode images."""
    outbox = Outbox()
    request = encode_request(model, images, outbox, precision)
    yield from send_large(outbox)
    reply = yield from call(lambda stubs: stubs.models.Encode, request)
    return posterior_from(reply, (yield from fetch_all(arrays_of(reply))))


def hybridize(
    model: str,
    intervention: Intervention,
    pairs: PairChoice,
    precision: str = "fp32",
    encoding: str | None = None,
) -> Flow[HybridResult | HybridFiles]:
    """Make hybrids, as arrays or as files."""
    chosen = None if encoding is None else checked_encoding(encoding)
    outbox = Outbox()
    drawn = yield from _fixed(pairs, model)
    request = hybridize_request(model, intervention, drawn, outbox, precision, chosen)
    yield from send_large(outbox)
    reply = yield from call(lambda stubs: stubs.models.Hybridize, request)
    arrays = yield from fetch_all(arrays_of(reply))
    if chosen is not None:
        return hybrid_files_from(reply, arrays, chosen)
    return hybrids_from(reply, arrays)


def _fixed(pairs: PairChoice, model_name: str) -> Flow[PairChoice]:
    """Give fixed values their inputs' types and shapes, which only the server knows."""
    if not pairs.fix:
        return pairs
    return pairs.fixed((yield from model(model_name)))
