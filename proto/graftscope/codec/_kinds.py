"""Messages of analyses by their names, in whichever file the contract has them."""

from google.protobuf.message import Message

from graftscope.v1 import analysis_service_pb2, worth_pb2


def message_class(name: str) -> type[Message] | None:
    """The class of a message, such as ``InfluenceRequest``; None where there is none."""
    for module in (analysis_service_pb2, worth_pb2):
        if name in module.DESCRIPTOR.message_types_by_name:
            found: type[Message] = getattr(module, name)
            return found
    return None
