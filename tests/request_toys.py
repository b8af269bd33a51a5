"""Requests for the small VAE, each with what is usual filled in."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from graftscope import codec
from graftscope.v1 import (
    analysis_service_pb2,
    intervention_pb2,
    model_service_pb2,
    originals_pb2,
    tensor_pb2,
)

VAE = "models/toy-vae"
LAYER = "deconv1"
CHANNELS = 6
"""Of `LAYER`."""
SIDE = 16
"""Of the VAE's images, which have 3 colours."""
LATENT = 8

Z = np.zeros((3, LATENT), dtype=np.float32)
IMAGES = np.zeros((2, SIDE, SIDE, 3), dtype=np.uint8)
LABELS = np.zeros(CHANNELS, dtype=np.int64)
MAPS = np.zeros((4, 8, 8))

Values = NDArray[np.generic]


def inline(array: Values) -> tensor_pb2.Array:
    """An array inside a message."""
    datatype, data = codec.encode(array)
    return tensor(datatype, bytes(data), *array.shape)


def tensor(datatype: str, data: bytes, *shape: int) -> tensor_pb2.Array:
    return tensor_pb2.Array(tensor=tensor_pb2.Tensor(datatype=datatype, data=data, shape=shape))


def artifact(sha256: str, datatype: str = "FP64", *shape: int) -> tensor_pb2.Array:
    named = tensor_pb2.Artifact(sha256=sha256, datatype=datatype, shape=shape)
    return tensor_pb2.Array(artifact=named)


def result(operation: str, array: str = "maps") -> tensor_pb2.Array:
    named = tensor_pb2.OperationResult(operation=operation, array=array)
    return tensor_pb2.Array(result=named)


def latents(array: Values) -> originals_pb2.Latents:
    """Values of the VAE's input."""
    return originals_pb2.Latents(inputs={"z": inline(array)})


def pairs(**fields: Any) -> originals_pb2.Pairs:
    return originals_pb2.Pairs(**{"count": 2, **fields})


def originals(**source: Any) -> originals_pb2.Pairs:
    return pairs(originals=originals_pb2.Originals(**source))


def latent_pairs(first: Values, second: Values) -> originals_pb2.Pairs:
    """Exactly these pairs."""
    given = originals_pb2.LatentPairs(latents1=latents(first), latents2=latents(second))
    return originals(latents=given)


def image_pairs(first: tensor_pb2.Array, second: tensor_pb2.Array) -> originals_pb2.Pairs:
    """Exactly these pairs, through the encoder."""
    return originals(image_pairs=originals_pb2.ImagePairs(images1=first, images2=second))


def drawn(images: tensor_pb2.Array) -> originals_pb2.Pairs:
    """Pairs drawn from real images."""
    return originals(images=originals_pb2.Images(images=images))


def channels(*indices: int) -> intervention_pb2.Channels:
    return intervention_pb2.Channels(indices=indices)


def edit(**fields: Any) -> intervention_pb2.Edit:
    return intervention_pb2.Edit(**{"layer": LAYER, **fields})


def module(labels: tensor_pb2.Array, index: int) -> intervention_pb2.Edit:
    return edit(module=intervention_pb2.Module(labels=labels, index=index))


def influence(**fields: Any) -> analysis_service_pb2.InfluenceRequest:
    """Every channel of the VAE's second layer over a few pairs."""
    usual = {"model": VAE, "layer": LAYER, "pairs": pairs(count=40, seed=1)}
    return analysis_service_pb2.InfluenceRequest(**{**usual, **fields})


def modules(**fields: Any) -> analysis_service_pb2.ModulesRequest:
    return analysis_service_pb2.ModulesRequest(**{"maps": inline(MAPS), "k": 2, **fields})


def stability(**fields: Any) -> analysis_service_pb2.StabilityRequest:
    return analysis_service_pb2.StabilityRequest(**{"maps": inline(MAPS), **fields})


def magnitude(**fields: Any) -> analysis_service_pb2.MagnitudeRequest:
    """Two and three modules of the VAE's second layer, over a few pairs."""
    usual = {"model": VAE, "layers": [LAYER], "ks": [2, 3], "pairs": pairs(count=40, seed=1)}
    return analysis_service_pb2.MagnitudeRequest(**{**usual, **fields})


def each_of(*interventions: list[intervention_pb2.Edit]) -> analysis_service_pb2.Interventions:
    """Interventions of these edits, a map each."""
    return analysis_service_pb2.Interventions(
        interventions=[intervention_pb2.Intervention(edits=edits) for edits in interventions]
    )


def hybridize(*edits: intervention_pb2.Edit, **fields: Any) -> model_service_pb2.HybridizeRequest:
    intervention = intervention_pb2.Intervention(edits=edits)
    usual = {"model": VAE, "intervention": intervention, "pairs": pairs()}
    return model_service_pb2.HybridizeRequest(**{**usual, **fields})


def generate(**fields: Any) -> model_service_pb2.GenerateRequest:
    return model_service_pb2.GenerateRequest(**{"model": VAE, **fields})


def encode(images: tensor_pb2.Array, **fields: Any) -> model_service_pb2.EncodeRequest:
    return model_service_pb2.EncodeRequest(**{"model": VAE, "images": images, **fields})
