"""Flows about operations: follow to the end, read the result, list, cancel, delete."""

import logging
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from google.longrunning import operations_pb2

from graftscope.client.arrays import Source, Word, axes_of, switch, whole_number
from graftscope.client.calls._flow import Flow, Stream, Tell, call, open_stream
from graftscope.client.calls._transfers import Patience, fetch_all
from graftscope.client.errors import (
    GraftscopeError,
    InputError,
    JobError,
    NotFoundError,
    OverloadedError,
    ReplyError,
    UnavailableError,
)
from graftscope.client.values import (
    AnalysisResult,
    Job,
    JobKind,
    JobState,
    Method,
    ModulesAsked,
    OfMaps,
    Progress,
    SoFar,
    modules_asked,
)
from graftscope.client.wire import (
    arrays_of,
    ask_modules,
    asked_arrays,
    failure_of,
    job_from,
    maps_so_far_from,
    modules_so_far_from,
    of_maps_from,
    operation_name,
    progress_from,
    response_of,
    result_from,
)
from graftscope.v1 import analysis_service_pb2

_log = logging.getLogger("graftscope.client")

_WHOLE_ID = re.compile(r"[0-9a-f]{32}")
_SHOWN = 5
"""So many candidates are named."""


def wait(name: str) -> Flow[AnalysisResult]:
    """Wait for a job and read its result.

    Args:
        name: ``operations/ID``, or the ID alone, or its beginning.

    Returns:
        The result, of the job's kind.
    """
    operation = yield from _follow(name)
    return (yield from _read(operation))


def result(name: str) -> Flow[AnalysisResult]:
    """Read the result of a job that is done.

    Args:
        name: ``operations/ID``, or the ID alone, or its beginning.

    Returns:
        The result, of the job's kind.
    """
    operation = yield from _get((yield from named(name)))
    if not operation.done:
        state = job_from(operation).progress.state
        raise JobError(f"{operation.name} is {state}: it has no result yet")
    return (yield from _read(operation))


def _read(operation: operations_pb2.Operation) -> Flow[AnalysisResult]:
    if operation.HasField("error"):
        raise failure_of(operation)
    response = response_of(operation)
    arrays = yield from fetch_all({**arrays_of(response), **asked_arrays(operation)})
    return result_from(operation, response, arrays)


def watch(
    name: str,
    modules: int | None = None,
    method: Method | str = Method.NMF,
    seed: int = 0,
    window: int = 3,
    percentile: float = 75.0,
    maps: bool = False,
) -> Flow[operations_pb2.Operation]:
    """Follow a job: its state at once, then each change, until it has ended.

    A connection that breaks is made again. What an influence job has found so far is told now
    and then, in `Job.so_far`: it must not hold the job up.

    Args:
        name: ``operations/ID``, or the ID alone, or its beginning.
        modules: Number of modules to find in the maps so far; None for none.
        method: How they are found.
        seed: Of the method.
        window: Side of the averaging window in pixels, odd.
        percentile: Above which a pixel of a map counts, between 0 and 100, both excluded.
        maps: Whether small maps are wanted too.

    Yields:
        The job, each time anew.

    Raises:
        InputError: If modules are asked of a job that is no influence, or has no such maps.
    """
    asked = modules_asked(modules, method, seed, window, percentile)
    return (yield from _follow(name, asked, maps=switch("maps", maps)))


def _follow(
    name: str, asked: ModulesAsked | None = None, *, maps: bool = False
) -> Flow[operations_pb2.Operation]:
    """Watch an operation until it has ended; a watch that breaks is opened again.

    Raises:
        UnavailableError: If the server stays away, or the watch breaks again and again without
            any progress.
        OverloadedError: If the server has no room for the watch, time and again.
    """
    name = yield from named(name)
    patience = Patience()
    seen: Progress | None = None
    is_told = False
    stream = _Watch(name, asked, maps)
    while True:
        try:
            return (yield from stream.until_done())
        except (UnavailableError, OverloadedError) as error:
            is_away = isinstance(error, UnavailableError)
            if is_away and stream.progress is None and seen is None:
                raise  # There was nobody from the start: no watch has broken.
            if stream.progress not in (None, seen):
                seen = stream.progress
                patience.reset()
                is_told = False
            if is_away and not is_told:
                _log.warning("%s; waiting for it to come back, to follow %s on", error, name)
                is_told = True
            yield from _wait(patience, error, name)
            stream = stream.again()


def _wait(patience: Patience, error: GraftscopeError, name: str) -> Flow[None]:
    """Wait before the next watch, or give up and say how the job is followed later."""
    try:
        yield from patience.wait(error)
    except GraftscopeError as last:
        identifier = name.removeprefix("operations/")
        last.args = (
            f"{last}; gave up following {name}: `graftscope jobs watch {identifier}` follows it"
            " once the server answers",
        )
        raise


class _Watch:
    """One stream of an operation's changes, with what is told beside them."""

    def __init__(
        self, name: str, asked: ModulesAsked | None, maps: bool, so_far: SoFar | None = None
    ) -> None:
        self._name, self._asked, self._maps = name, asked, maps
        self._so_far = so_far
        self._job: Job | None = None

    def again(self) -> "_Watch":
        """Another one, which goes on with what this one was told."""
        return _Watch(self._name, self._asked, self._maps, self._so_far)

    @property
    def progress(self) -> Progress | None:
        return self._job.progress if self._job else None

    def until_done(self) -> Flow[operations_pb2.Operation]:
        stream = yield from open_stream(
            lambda stubs: stubs.analyses.WatchOperation, self._request()
        )
        while (update := (yield from stream.receive())) is not None:
            if update.operation.done:
                yield from _to_its_end(stream)
            yield from self._take(update)
            if update.operation.done:
                return update.operation
        raise UnavailableError(f"the server stopped reporting on {self._name} before it ended")

    def _request(self) -> analysis_service_pb2.WatchOperationRequest:
        request = analysis_service_pb2.WatchOperationRequest(
            name=self._name, partial_maps=self._maps
        )
        if self._asked is not None:
            before = self._so_far.modules if self._so_far else None
            ask_modules(request.partial_modules, self._asked, before)
        return request

    def _take(self, update: analysis_service_pb2.WatchOperationResponse) -> Flow[None]:
        if update.HasField("operation"):
            self._job = job_from(update.operation)
        elif self._job is None:
            raise ReplyError(f"the server sent changes of {self._name} before its state")
        elif update.HasField("progress"):
            self._job = replace(self._job, progress=progress_from(update.progress))
        else:
            self._note(update)
        self._job = replace(self._job, so_far=self._so_far)
        yield Tell(self._job)

    def _note(self, update: analysis_service_pb2.WatchOperationResponse) -> None:
        """Takes what is told beside the job's state."""
        known = self._so_far or SoFar()
        if update.HasField("partial_maps"):
            self._so_far = replace(known, maps=maps_so_far_from(update.partial_maps))
        elif update.HasField("partial_modules"):
            found = modules_so_far_from(update.partial_modules, known.modules)
            self._so_far = replace(known, modules=found)


def _to_its_end(stream: Stream[analysis_service_pb2.WatchOperationResponse]) -> Flow[None]:
    """Let a watch that has told all end by itself, so that the server does not count it as left.

    The end comes right behind the last state; what breaks before it has nothing more to say.
    """
    with suppress(GraftscopeError):
        while (yield from stream.receive()) is not None:
            pass


def job(name: str) -> Flow[Job]:
    """Tell the state of a job.

    Args:
        name: ``operations/ID``, or the ID alone, or its beginning.

    Returns:
        The job.
    """
    return job_from((yield from _get((yield from named(name)))))


def of_maps(name: str) -> Flow[OfMaps]:
    """Tell what the maps of an operation are of; of one that is done also what else is known."""
    operation = yield from _get((yield from named(name)))
    found = job_from(operation)
    source = Source(found.model.partition("@")[0], found.model_digest, found.layer, found.name)
    if not operation.HasField("response"):
        return OfMaps(source)
    response = response_of(operation)
    small = {key: each for key, each in arrays_of(response).items() if key in axes_of(OfMaps)}
    return of_maps_from(operation, response, (yield from fetch_all(small)), source)


def _get(name: str) -> Flow[operations_pb2.Operation]:
    request = operations_pb2.GetOperationRequest(name=name)
    return (yield from call(lambda stubs: stubs.operations.GetOperation, request))


def jobs(
    states: Sequence[JobState | str] = (),
    kinds: Sequence[JobKind | str] = (),
    model: str = "",
    limit: int | None = None,
) -> Flow[tuple[Job, ...]]:
    """List the server's jobs, the newest first.

    Args:
        states: Only those in one of these states; none for all.
        kinds: Only those of one of these kinds; none for all.
        model: Only those of the model of this name; empty for all.
        limit: At most so many, at least 1; None for all.

    Returns:
        The jobs.

    Raises:
        InputError: If there is no such state or kind, or the limit is not allowed.
    """
    wanted_states = [Word(JobState).checked("state", state) for state in states]
    wanted_kinds = [Word(JobKind).checked("kind", kind) for kind in kinds]
    most = None if limit is None else whole_number("limit", limit, low=1)
    found: list[Job] = []
    token = ""
    while True:
        request = operations_pb2.ListOperationsRequest(name="operations", page_token=token)
        page = yield from call(lambda stubs: stubs.operations.ListOperations, request)
        found += [
            each
            for each in map(job_from, page.operations)
            if (not wanted_states or each.progress.state in wanted_states)
            and (not wanted_kinds or each.kind in wanted_kinds)
            and (not model or each.model == model)
        ]
        token = page.next_page_token
        if not token or (most is not None and len(found) >= most):
            return tuple(found[:most])


def named(name: str) -> Flow[str]:
    """Find the whole name of a job, of which the beginning of its ID may be given.

    Raises:
        NotFoundError: If no ID begins so.
        InputError: If several do.
    """
    whole = operation_name(name)
    if not name or name == whole or _WHOLE_ID.fullmatch(name):
        return whole
    try:
        return (yield from _get(whole)).name
    except NotFoundError:
        listed = yield from jobs()
        found = [each.name for each in listed if each.name.startswith(whole)]
        if not found:
            raise
    if len(found) > 1:
        more = f", and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        ids = ", ".join(each.removeprefix("operations/") for each in found[:_SHOWN])
        raise InputError(
            f"job {name!r} is the beginning of {len(found)} IDs: {ids}{more}; give more of its "
            "characters",
            field="name",
        )
    return found[0]


def cancel(name: str) -> Flow[None]:
    """Cancel a job; what it computed so far is kept, and the same request resumes it.

    Args:
        name: ``operations/ID``, or the ID alone, or its beginning.
    """
    request = operations_pb2.CancelOperationRequest(name=(yield from named(name)))
    yield from call(lambda stubs: stubs.operations.CancelOperation, request)


def delete(name: str) -> Flow[None]:
    """Forget a job and its result.

    Args:
        name: ``operations/ID``, or the ID alone, or its beginning.
    """
    request = operations_pb2.DeleteOperationRequest(name=(yield from named(name)))
    yield from call(lambda stubs: stubs.operations.DeleteOperation, request)


def share(name: str, private: bool = False) -> Flow[Job]:
    """Let everybody whom the server knows see a job and read its result.

    Args:
        name: ``operations/ID``, or the ID alone, or its beginning.
        private: Take it back: only its owner, and admins, see it any more.

    Returns:
        The job.
    """
    request = analysis_service_pb2.ShareOperationRequest(
        name=(yield from named(name)), private=switch("private", private)
    )
    return job_from((yield from call(lambda stubs: stubs.analyses.ShareOperation, request)))
