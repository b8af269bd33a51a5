"""From specified edits to the messages that would give them again."""

from graftscope.server.jobs import DonorSpec, EditSpec
from graftscope.server.rpc._arrays import describe
from graftscope.v1 import intervention_pb2, originals_pb2


def edit_message(edit: EditSpec) -> intervention_pb2.Edit:
    """An edit as a request names it; its arrays are artifacts."""
    message = intervention_pb2.Edit(
        layer=edit.layer, channels=intervention_pb2.Channels(indices=edit.channels)
    )
    _set_action(message, edit)
    if edit.mask is not None:
        message.mask.array.CopyFrom(describe(edit.mask))
    return message


def _set_action(message: intervention_pb2.Edit, edit: EditSpec) -> None:
    number = edit.number or 0.0
    match edit.action:
        case "constant" | "add":
            target = message.constant if edit.action == "constant" else message.add
            if edit.array is None:
                target.scalar = number
            else:
                target.array.CopyFrom(describe(edit.array))
        case "prior_mean":
            message.constant.prior_mean.SetInParent()
        case "scale":
            message.scale.factor = number
        case "blend":
            message.blend.weight = number
            message.blend.donor.CopyFrom(_swap(edit.donor))
        case _:
            message.swap.CopyFrom(_swap(edit.donor))


def _swap(donor: DonorSpec | None) -> intervention_pb2.Swap:
    match donor:
        case DonorSpec("latents", arrays):
            inputs = {name: describe(ref) for name, ref in arrays.items()}
            return intervention_pb2.Swap(latents=originals_pb2.Latents(inputs=inputs))
        case DonorSpec("image", arrays):
            return intervention_pb2.Swap(image=describe(arrays["image"]))
        case _:
            return intervention_pb2.Swap(original2=intervention_pb2.Original2())
