"""Channels of a request that fit only some layers: a mask has a length, modules are of a layer."""

from graftscope.client.interventions import ChannelNumbers
from graftscope.client.values._hybrids import HybridsTask
from graftscope.client.values._influence import InfluenceTask


def asking_channels(task: object) -> list[tuple[str, ChannelNumbers]]:
    """Tell which channels of a request only its model can check, each with its layer's name."""
    match task:
        case HybridsTask():
            named = [(edit.layer, edit.channels) for edit in task.meant().edits]
        case InfluenceTask(interventions=given) if given is not None:
            named = [(edit.layer, edit.channels) for each in given for edit in each.edits]
        case InfluenceTask():
            named = [(task.layer, task.channels)]
        case _:
            return []
    found = [(layer, ChannelNumbers.of(channels or ())) for layer, channels in named]
    return [(layer, channels) for layer, channels in found if channels.asks_for_layer]
