"""Photographs that a page sends: to a model's latents, from which its originals are made."""

import asyncio
import binascii
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Mapping

import numpy as np

from graftscope.client import AsyncClient, Json, Model
from graftscope.client.errors import InputError
from graftscope.explorer._fields import Fields, text
from graftscope.explorer._told import Answer, Answering, Picture

MOST_BYTES = 24 << 20
"""Of a photograph's file."""


class Photographs:
    """Encodes photographs.

    Args:
        client: Of the service.
    """

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    def questions(self) -> Mapping[str, Answering]:
        """``encode``: a file in base64, to latents and to the pixels that were encoded."""
        return {"encode": self._encode}

    async def _encode(self, fields: Fields) -> AsyncIterator[Answer]:
        # Pillow takes a while to import.
        from graftscope.client.pictures import fit_photograph

        model = await self._client.model(text(fields, "model"))
        _require_encoder(model)
        data = _data(fields.get("file"))
        photograph = await asyncio.to_thread(fit_photograph, data, model.image)
        posterior = await self._client.encode(model.name, photograph.pixels[None])
        latents: dict[str, Json] = {
            name: b64encode(np.asarray(mean, "<f4").tobytes()).decode()
            for name, mean in posterior.mean.items()
        }
        told: dict[str, Json] = {"latents": latents, "notes": list(photograph.notes)}
        yield Answer(told, (Picture("photograph", photograph.pixels),))


def _require_encoder(model: Model) -> None:
    if not model.has_encoder:
        raise InputError(
            f"model {model.name!r} has no encoder, so no photograph can be an original of it",
            field="model",
        )


def _data(value: Json) -> bytes:
    if not isinstance(value, str):
        raise InputError("a photograph's file must be text in base64", field="file")
    try:
        data = b64decode(value, validate=True)
    except binascii.Error:
        raise InputError("a photograph's file is not base64", field="file") from None
    if len(data) > MOST_BYTES:
        raise InputError(
            f"a photograph's file has {len(data):,} bytes; at most {MOST_BYTES:,} are read",
            field="file",
        )
    return data
