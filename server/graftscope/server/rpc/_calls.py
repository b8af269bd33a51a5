"""Calls as whoever watches the server hears of them: whose, what came of it, how long it took.

Each is told once, when it is over, and has a line in the log. It must not know who listens.
"""

import asyncio
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import grpc

from graftscope.server.access import Principal
from graftscope.server.logs import get_logger, join
from graftscope.server.spans import UNTOLD, Fact, Span, enter
from graftscope.server.tally import Tally

REQUEST_ID_KEY = "x-request-id"
"""Metadata with a call's id, which the caller may give; else the server gives one."""

# A client gives up by its own clock, and what it sends then may arrive a little before the
# deadline that the server reckons with.
_EARLY_S = 0.1

_REQUEST_ID = re.compile(r"[\w.:/+=-]{1,128}", re.ASCII)

# Health checks and reflection: what asks them does so every few seconds, or once by hand.
_INFERENCE = "/inference.GRPCInferenceService/"
_PROBES = ("ServerLive", "ServerReady", "ModelReady")
_UPKEEP = ("/grpc.", *(_INFERENCE + name for name in _PROBES))

# Of what a caller calls a model or a layer.
_MOST_CHARACTERS = 200

# Statuses by which the server, and not the caller, is at fault.
_OWN_FAULTS = {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE"}
_OWN_FAULTS |= {"DATA_LOSS"}

_CODES: dict[str, int] = {code.name: code.value[0] for code in grpc.StatusCode}

_log = get_logger("rpc")


@dataclass
class Call:
    """A call.

    Attributes:
        method: its path, such as /graftscope.v1.ModelService/Hybridize.
        peer: where it came from, in gRPC's words.
        principal: who called; None where it was refused before that was known.
        status: the name of the status that it was answered with.
        reason: of the error, a stable word; '' where there was none.
        error: what the caller was told of it.
        seconds: from when the server had it until its last reply was made; set once it is over.
        request: its id, which lines of the log and traces share.
        facts: what it is about, as far as is known: model, layer, pairs, job, device.
        span: what is told of it to whoever traces it.
    """

    method: str
    peer: str
    principal: Principal | None = None
    status: str = "OK"
    reason: str = ""
    error: str = ""
    seconds: float = 0.0
    request: str = ""
    facts: dict[str, Fact] = field(default_factory=dict)
    span: Span = UNTOLD

    @property
    def owner(self) -> str:
        """Whose it was; '' where nobody is asked, or it was not known yet."""
        return self.principal.owner if self.principal else ""

    @property
    def is_upkeep(self) -> bool:
        """Whether it asks for the server's health or its methods, which nobody reads of."""
        return self.method.startswith(_UPKEEP)


Observer = Callable[[Call], None]
"""Hears of every call that is over, in the event loop; it must be quick, and never fail."""

Opening = Callable[[str, Mapping[str, str]], Span]
"""Begins the span of a call to a method, which goes on from what its metadata tell of a trace."""

_CALL: ContextVar[Call | None] = ContextVar("call", default=None)


def note(**facts: Fact | None) -> None:
    """Tells what the call that goes on here is about; what is empty or unknown is left out.

    As `caller`, it is known in `asyncio.to_thread`, and not in `run_in_executor`.
    """
    call = _CALL.get()
    if call is None:
        return
    known = {name: _shortened(fact) for name, fact in facts.items() if fact}
    call.facts |= known
    call.span.note(**known)


def _shortened(fact: Fact) -> Fact:
    return fact[:_MOST_CHARACTERS] if isinstance(fact, str) else fact


class Calls:
    """Tells observers of calls.

    Args:
        observers: who hears of each.
        opening: begins their spans; by default nobody hears of them.

    Attributes:
        tally: counts those that begin and end.
    """

    def __init__(self, observers: Sequence[Observer] = (), opening: Opening | None = None) -> None:
        self._observers = (_log_call, *observers)
        self._opening = opening
        self.tally = Tally()

    def listen(self, observer: Observer) -> None:
        """Has one more hear of each from now on."""
        self._observers += (observer,)

    @contextmanager
    def told(self, method: str, context: "grpc.aio.ServicerContext[Any, Any]") -> Iterator[Call]:
        """A call, for as long as the block lasts; told of when it is left."""
        # The peer now: of a call that is over gRPC may know it no more.
        call, started_s = Call(method, context.peer()), time.perf_counter()
        self.tally.create()
        self._enter(call, context)
        try:
            yield call
        except asyncio.CancelledError:
            left_s = context.time_remaining()
            timed_out = left_s is not None and left_s < _EARLY_S
            call.status = "DEADLINE_EXCEEDED" if timed_out else "CANCELLED"
            raise
        finally:
            call.seconds = time.perf_counter() - started_s
            self.tally.release()
            _end_span(call)
            self.tell(call)

    def _enter(self, call: Call, context: "grpc.aio.ServicerContext[Any, Any]") -> None:
        """Makes it the call that goes on in this task, and in what it starts."""
        metadata = {str(key): str(value) for key, value in context.invocation_metadata() or ()}
        given = metadata.get(REQUEST_ID_KEY, "")
        call.request = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        if self._opening is not None and not call.is_upkeep:
            call.span = self._opening(call.method, metadata)
            enter(call.span)
        _CALL.set(call)
        join(request=call.request, trace=call.span.trace)

    def tell(self, call: Call) -> None:
        """Tells of a call that is over."""
        for observer in self._observers:
            observer(call)


def status_name(context: "grpc.aio.ServicerContext[Any, Any]") -> str:
    """The status of a call that its method has aborted; of one that it has not, gRPC's own."""
    code = context.code()
    return code.name if isinstance(code, grpc.StatusCode) else grpc.StatusCode.UNKNOWN.name


def _end_span(call: Call) -> None:
    said: dict[str, Fact] = {"request": call.request, "principal": call.owner}
    if call.reason:
        said["reason"] = call.reason
    call.span.note(**said, **{"rpc.grpc.status_code": _CODES[call.status]})
    call.span.end(call.status if call.status in _OWN_FAULTS else "")


def _log_call(call: Call) -> None:
    """The call's line: what is empty is left out."""
    tell = _log.debug if call.is_upkeep else _log.info
    what = {"method": call.method, "status": call.status, "seconds": round(call.seconds, 4)}
    whose = {"principal": call.owner, "peer": call.peer}
    why = {"reason": call.reason, "error": call.error}
    told = {name: fact for name, fact in (whose | call.facts | why).items() if fact}
    tell("call", **what, **told)
