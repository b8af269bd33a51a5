"""How a fake server ends a call: statuses with details, and messages of any kind packed."""

import grpc
from google.protobuf import duration_pb2
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

Context = grpc.ServicerContext


def refuse(
    context: Context,
    code: grpc.StatusCode,
    message: str,
    reason: str = "",
    blamed: str = "",
    retry_after_s: float | None = None,
) -> None:
    """End a call with a status; with details where there is a reason."""
    if not reason:
        context.abort(code, message)
    context.abort_with_status(
        rpc_status.to_status(status(code, message, reason, blamed, retry_after_s))
    )


def status(
    code: grpc.StatusCode,
    message: str,
    reason: str,
    blamed: str,
    retry_after_s: float | None = None,
) -> status_pb2.Status:
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=reason, domain="graftscope")]
    if blamed:
        violation = error_details_pb2.BadRequest.FieldViolation(field=blamed, description=message)
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if retry_after_s is not None:
        delay = duration_pb2.Duration()
        delay.FromMicroseconds(round(1e6 * retry_after_s))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    return status_pb2.Status(
        code=code.value[0], message=message, details=[pack(each) for each in details]
    )


def pack(message: Message) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(message)
    return packed
