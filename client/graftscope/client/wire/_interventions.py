"""Interventions to and from the contract's messages."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from graftscope.client._actions import (
    PRIOR_MEAN,
    Action,
    Add,
    Blend,
    Constant,
    Donor,
    ImageDonor,
    Original2,
    PriorMean,
    Scale,
    StoredLatents,
    Swap,
)
from graftscope.client._interventions import Edit, Intervention, Mask, ModuleOf, Rectangle
from graftscope.client.errors import InputError, ReplyError
from graftscope.client.wire._outbox import Outbox
from graftscope.client.wire._tensors import AnyArray, tensor_from_proto
from graftscope.v1 import analysis_service_pb2, intervention_pb2, originals_pb2, tensor_pb2

Read: TypeAlias = Callable[[tensor_pb2.Array], AnyArray]
"""How an array of a message is read."""


def intervention_to_proto(
    intervention: Intervention, outbox: Outbox
) -> intervention_pb2.Intervention:
    """Pack an intervention."""
    edits = [_edit_to_proto(edit, outbox) for edit in intervention.edits]
    return intervention_pb2.Intervention(edits=edits)


def _edit_to_proto(edit: Edit, outbox: Outbox) -> intervention_pb2.Edit:
    message = intervention_pb2.Edit(layer=edit.layer)
    if edit.module is None:
        message.channels.CopyFrom(intervention_pb2.Channels(indices=edit.channels))
    else:
        labels = outbox.add(edit.module.labels)
        message.module.CopyFrom(intervention_pb2.Module(labels=labels, index=edit.module.index))
    _set_action(message, edit.action, outbox)
    if edit.mask is not None:
        message.mask.CopyFrom(_mask_to_proto(edit.mask, outbox))
    return message


def _set_action(message: intervention_pb2.Edit, action: Action, outbox: Outbox) -> None:
    match action:
        case Swap(donor=donor):
            message.swap.CopyFrom(_donor_to_proto(donor, outbox))
        case Constant(value=PriorMean()):
            message.constant.prior_mean.SetInParent()
        case Constant(value=float(value)):
            message.constant.scalar = value
        case Constant(value=value):
            message.constant.array.CopyFrom(outbox.add(np.asarray(value)))
        case Scale(factor=factor):
            message.scale.factor = factor
            message.scale.SetInParent()  # a factor of 0 is a value too
        case Add(value=float(value)):
            message.add.scalar = value
        case Add(value=value):
            message.add.array.CopyFrom(outbox.add(np.asarray(value)))
        case Blend(weight=weight, donor=donor):
            message.blend.weight = weight
            message.blend.donor.CopyFrom(_donor_to_proto(donor, outbox))


def _donor_to_proto(donor: Donor, outbox: Outbox) -> intervention_pb2.Swap:
    match donor:
        case Original2():
            return intervention_pb2.Swap(original2=intervention_pb2.Original2())
        case StoredLatents(latents=latents):
            inputs = {name: outbox.add(array) for name, array in latents.items()}
            return intervention_pb2.Swap(latents=originals_pb2.Latents(inputs=inputs))
        case ImageDonor(image=image):
            return intervention_pb2.Swap(image=outbox.add(image[None]))


def _mask_to_proto(mask: Mask, outbox: Outbox) -> intervention_pb2.Mask:
    if not isinstance(mask, Rectangle):
        return intervention_pb2.Mask(array=outbox.add(mask))
    rectangle = intervention_pb2.Rectangle(
        top=mask.top, left=mask.left, height=mask.height, width=mask.width
    )
    return intervention_pb2.Mask(rectangle=rectangle)


def intervention_from_proto(message: intervention_pb2.Intervention, read: Read) -> Intervention:
    """Read an intervention.

    Args:
        message: The contract's.
        read: How its arrays are read.

    Returns:
        The value.

    Raises:
        InputError: If it lacks something, or holds what is not allowed.
    """
    return Intervention([_edit_from_proto(edit, at, read) for at, edit in enumerate(message.edits)])


def _edit_from_proto(message: intervention_pb2.Edit, at: int, read: Read) -> Edit:
    try:
        return Edit(
            message.layer,
            channels=message.channels.indices if message.HasField("channels") else None,
            module=_module_from_proto(message.module, read) if message.HasField("module") else None,
            action=_action_from_proto(message, read),
            mask=_mask_from_proto(message.mask, read) if message.HasField("mask") else None,
        )
    except ValueError as error:
        raise InputError(f"edit {at}: {error}", field=f"edits[{at}]") from error


def _module_from_proto(message: intervention_pb2.Module, read: Read) -> ModuleOf:
    return ModuleOf(read(message.labels), message.index)  # type: ignore[arg-type]  # checked there


def _action_from_proto(message: intervention_pb2.Edit, read: Read) -> Action:
    match message.WhichOneof("action"):
        case "swap":
            return Swap(_donor_from_proto(message.swap, read))
        case "constant":
            return Constant(_constant_from_proto(message.constant, read))
        case "scale":
            return Scale(message.scale.factor)
        case "add":
            scalar = message.add.WhichOneof("value") == "scalar"
            return Add(message.add.scalar if scalar else read(message.add.array))
        case "blend":
            donor = _donor_from_proto(message.blend.donor, read)
            return Blend(message.blend.weight, donor)
        case _:
            raise InputError("it has no action: swap, constant, scale, add or blend")


def _constant_from_proto(
    message: intervention_pb2.Constant, read: Read
) -> float | AnyArray | PriorMean:
    match message.WhichOneof("value"):
        case "scalar":
            return message.scalar
        case "prior_mean":
            return PRIOR_MEAN
        case _:
            return read(message.array)


def _donor_from_proto(message: intervention_pb2.Swap, read: Read) -> Donor:
    match message.WhichOneof("donor"):
        case "latents":
            inputs = message.latents.inputs
            return StoredLatents({name: read(inputs[name]) for name in inputs})
        case "image":
            return ImageDonor(read(message.image))  # type: ignore[arg-type]  # checked there
        case _:
            return Original2()


def _mask_from_proto(message: intervention_pb2.Mask, read: Read) -> Mask:
    if message.WhichOneof("area") != "rectangle":
        return read(message.array)  # type: ignore[return-value]  # the edit checks it
    area = message.rectangle
    return Rectangle(area.top, area.left, area.height, area.width)


def inline(array: tensor_pb2.Array) -> AnyArray:
    """Read an array that must lie in its message.

    Raises:
        InputError: If it does not, or its bytes do not fill its shape.
    """
    if array.WhichOneof("source") != "tensor":
        raise InputError("it needs an array: a tensor with datatype, shape and data, or a file")
    try:
        return tensor_from_proto(array.tensor)
    except ReplyError as error:
        raise InputError(str(error).replace("the server sent", "it holds")) from error


def interventions_from(
    request: analysis_service_pb2.InfluenceRequest, arrays: Mapping[str, AnyArray]
) -> tuple[Intervention, ...]:
    """Read the interventions that an influence is of; none where it is of channels or modules.

    Args:
        request: The operation's specification.
        arrays: What was read of `stored_arrays`.
    """

    def read(array: tensor_pb2.Array) -> AnyArray:
        if array.WhichOneof("source") == "tensor":
            return tensor_from_proto(array.tensor)
        return arrays[_key(array)]

    asked = request.each_intervention.interventions
    return tuple(intervention_from_proto(message, read) for message in asked)


def stored_arrays(
    request: analysis_service_pb2.InfluenceRequest,
) -> dict[str, tensor_pb2.Array]:
    """List the arrays of an influence's interventions that lie on the server."""
    asked = request.each_intervention.interventions
    listed = [array for each in asked for edit in each.edits for array in _arrays(edit)]
    return {_key(array): array for array in listed if array.WhichOneof("source") != "tensor"}


def _arrays(edit: intervention_pb2.Edit) -> list[tensor_pb2.Array]:
    donors = (edit.swap, edit.blend.donor)
    return [
        *([edit.module.labels] if edit.HasField("module") else []),
        *([edit.constant.array] if edit.constant.HasField("array") else []),
        *([edit.add.array] if edit.add.HasField("array") else []),
        *([edit.mask.array] if edit.mask.HasField("array") else []),
        *(donor.image for donor in donors if donor.HasField("image")),
        *(array for donor in donors for array in donor.latents.inputs.values()),
    ]


def _key(array: tensor_pb2.Array) -> str:
    return f"stored {array.artifact.sha256} {array.artifact.datatype} {array.artifact.shape}"
