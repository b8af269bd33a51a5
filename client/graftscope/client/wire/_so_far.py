"""What a job has come to while it goes on: what is asked of a watch, and what it tells."""

from typing import Any

from graftscope import codec
from graftscope.client.arrays import check_axes
from graftscope.client.values import LayerModules, ModulesAsked, ModulesSoFar, PartialMaps
from graftscope.client.wire._arrays import arrays_of, unpack
from graftscope.client.wire._replies import made
from graftscope.client.wire._requests import UNIONS
from graftscope.v1 import analysis_service_pb2, tensor_pb2


def ask_modules(
    message: analysis_service_pb2.PartialModules,
    asked: ModulesAsked,
    before: ModulesSoFar | None = None,
) -> None:
    """Say which modules are wanted.

    Args:
        message: Filled in place.
        asked: Which.
        before: Those whose numbers they are to get.
    """
    codec.fill(message, asked, codec.inline, unions=UNIONS)
    for layer, modules in (before or ModulesSoFar()).layers.items():
        message.named_as.add(layer=layer, labels=modules.labels.tolist())


def maps_so_far_from(message: analysis_service_pb2.PartialMaps) -> PartialMaps:
    """Read a preview of maps.

    Raises:
        ReplyError: If its arrays do not go together.
    """

    def array(name: str) -> Any:
        tensor: tensor_pb2.Tensor = getattr(message, name)
        return unpack(tensor.data, tensor.datatype, tensor.shape)

    optional = [name for name in ("layer_of", "settled") if message.HasField(name)]
    names = ["maps", "individual", "individual_stderr", "pairs_of", *optional]
    found = PartialMaps(
        pairs=message.pairs,
        layers=tuple(message.layers),
        **{name: array(name) for name in names},
    )
    check_axes(found)
    return found


def modules_so_far_from(
    message: analysis_service_pb2.ModulesSoFar, before: ModulesSoFar | None
) -> ModulesSoFar:
    """Read modules; where there are no newer ones, those before with the reason why.

    Raises:
        ReplyError: If an array is missing, or does not go with the others.
        VersionError: If the method is unknown to this client.
    """
    failures = [f"{each.layer}: {each.failure}" for each in message.layers if each.failure]
    skipped = message.skipped or "; ".join(failures)
    if not message.pairs and before is not None:
        return ModulesSoFar(before.pairs, before.layers, skipped)
    layers = {
        each.layer: _layer_from(each.modules) for each in message.layers if each.HasField("modules")
    }
    return ModulesSoFar(message.pairs, layers, skipped)


def _layer_from(message: analysis_service_pb2.ModulesResponse) -> LayerModules:
    arrays = {
        name: unpack(array.tensor.data, array.tensor.datatype, array.tensor.shape)
        for name, array in arrays_of(message).items()
    }
    return made(message, LayerModules, arrays)
