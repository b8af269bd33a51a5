"""Which models there are, as a page shows them."""

from collections.abc import AsyncIterator, Mapping

from graftscope.client import AsyncClient, Json, Layer, Model
from graftscope.explorer._fields import Fields
from graftscope.explorer._inputs import described_inputs
from graftscope.explorer._told import Answer, Answering


class Models:
    """Tells of the service's models and their layers.

    Args:
        client: Of the service.
    """

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    def questions(self) -> Mapping[str, Answering]:
        """``models``: all of them."""
        return {"models": self._all}

    async def _all(self, _fields: Fields) -> AsyncIterator[Answer]:
        yield Answer({"models": [described(each) for each in await self._client.models()]})


def described(model: Model) -> dict[str, Json]:
    """Say what a page shows of a model."""
    image = model.image
    return {
        "name": model.name,
        "digest": model.digest,
        "image": {"height": image.height, "width": image.width, "colours": image.channels},
        "encoder": model.has_encoder,
        "inputs": described_inputs(model),
        "layers": [_described(each) for each in model.layers],
    }


def _described(layer: Layer) -> Json:
    return {
        "name": layer.name,
        "level": layer.level,
        "kind": str(layer.kind),
        "shape": list(layer.shape),
        "channels": layer.channels,
        "upstream_mflop": layer.upstream_mflop,
        "downstream_mflop": layer.downstream_mflop,
        "torch": layer.torch_hook is not None,
    }
