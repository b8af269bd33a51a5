"""Part of the contract that is not implemented yet, refused by name.

What a newer client says in fields or numbers that this version does not have is refused too:
protobuf keeps it aside, and an edit with an action of a later version would look like one without
an action. It must not know models or arrays.
"""

from collections.abc import Iterator

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from graftscope.server.errors import Unsupported
from graftscope.server.rpc._methods import METHODS
from graftscope.server.rpc._precisions import PRECISIONS
from graftscope.v1 import analysis_service_pb2, precision_pb2, tensor_pb2

_PACKAGE = tensor_pb2.DESCRIPTOR.package
_METHOD_NAMES = {
    analysis_service_pb2.METHOD_UNSPECIFIED: "nmf",
    **{number: name for name, number in METHODS.items()},
}

_PRECISION_NAMES = {
    precision_pb2.PRECISION_UNSPECIFIED: "fp32",
    **{number: name for name, number in PRECISIONS.items()},
}


def check_known(request: Message) -> None:
    """Refuses fields that the contract of this version does not have.

    Raises:
        Unsupported: there is one; the message names it by its number.
    """
    if request.DESCRIPTOR.file.package != _PACKAGE:
        return
    for message in _messages(request):
        unknown = UnknownFieldSet(message)
        if len(unknown):
            raise Unsupported(
                f"field number {unknown[0].field_number} of {message.DESCRIPTOR.name} is not known "
                "to this server, which is older than the client"
            )


def method(number: int) -> str:
    """nmf, kmeans, pca or spectral.

    Raises:
        Unsupported: a method of a later version was asked for.
    """
    if number not in _METHOD_NAMES:
        raise Unsupported(
            f"method {_name(analysis_service_pb2.Method.DESCRIPTOR, number)} is not implemented "
            f"yet; implemented are {', '.join(METHODS)}",
            field="method",
        )
    return _METHOD_NAMES[number]  # type: ignore[index]  # the stub wants the enum


def precision(number: int) -> str:
    """fp32, bf16, tf32, fp16 or auto.

    Raises:
        Unsupported: a precision of a later version was asked for.
    """
    if number not in _PRECISION_NAMES:
        raise Unsupported(
            f"precision {_name(precision_pb2.Precision.DESCRIPTOR, number)} is not implemented "
            f"yet; implemented are {', '.join(PRECISIONS)}",
            field="precision",
        )
    return _PRECISION_NAMES[number]  # type: ignore[index]  # the stub wants the enum


def _messages(message: Message) -> Iterator[Message]:
    """The message and every one inside it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            inner = [x for x in value.values() if isinstance(x, Message)]
        else:
            inner = list(value) if field.is_repeated else [value]
        for each in inner:
            yield from _messages(each)


def _name(kind: EnumDescriptor, number: int) -> str:
    """The value's name, or its number where a newer client knows more."""
    known = kind.values_by_number.get(number)
    return known.name if known else f"number {number}"
