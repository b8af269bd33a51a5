"""Part of the contract that is not implemented yet, refused by name.

What a newer client says in fields or numbers that this version does not have is refused too:
protobuf keeps it aside, and an edit with an action of a later version would look like one without
an action. It must not know models or arrays.
"""

from collections.abc import Iterator

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from graftscope import codec
from graftscope.server.analysis import Method
from graftscope.server.engine import Precision
from graftscope.server.errors import Unsupported
from graftscope.v1 import analysis_service_pb2, precision_pb2, tensor_pb2

_PACKAGE = tensor_pb2.DESCRIPTOR.package


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
    """nmf, or another of the analyses' methods.

    Raises:
        Unsupported: a method of a later version was asked for.
    """
    word = said(analysis_service_pb2.Method.DESCRIPTOR, number, Method.NMF.value, "method")
    if word not in {each.value for each in Method}:
        implemented = ", ".join(each.value for each in Method)
        raise Unsupported(
            f"method {word} is not implemented yet; implemented are {implemented}", field="method"
        )
    return word


def precision(number: int) -> str:
    """fp32, bf16, tf32, fp16 or auto.

    Raises:
        Unsupported: a precision of a later version was asked for.
    """
    kind = precision_pb2.Precision.DESCRIPTOR
    return said(kind, number, Precision.FP32.value, "precision")


def said(kind: EnumDescriptor, number: int, unsaid: str, field: str) -> str:
    """The word of an enumeration's number.

    Args:
        kind: the enumeration.
        number: as it came.
        unsaid: what it means that nothing was said.
        field: what is refused.

    Raises:
        Unsupported: it is of a later version.
    """
    try:
        return codec.word_of(kind, number, unsaid)
    except codec.UnknownNumberError as error:
        told = str(error).replace("unknown; there are:", "not implemented yet; implemented are")
        raise Unsupported(told, field=field) from error


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
