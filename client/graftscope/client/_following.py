"""Flows about operations: follow to the end, read the result, list, cancel, delete."""

from dataclasses import replace

from google.longrunning import operations_pb2

from graftscope.client._flow import Flow, Tell, call, open_stream
from graftscope.client._jobs import Job, Progress
from graftscope.client._patience import Patience
from graftscope.client._sweeps import AnalysisResult
from graftscope.client._transfers import fetch_all
from graftscope.client.errors import JobError, ReplyError, UnavailableError
from graftscope.client.wire import (
    arrays_of,
    asked_arrays,
    failure_of,
    job_from_proto,
    operation_name,
    progress_from_proto,
    response_of,
    result_from,
)
from graftscope.v1 import analysis_service_pb2


def finish(name: str) -> Flow[AnalysisResult]:
    """Follow an operation to its end, then read its result."""
    operation = yield from follow(name)
    return (yield from _read(operation))


def result(name: str) -> Flow[AnalysisResult]:
    """Read the result of an operation that is done."""
    operation = yield from _get(name)
    if not operation.done:
        state = job_from_proto(operation).progress.state
        raise JobError(f"{operation.name} is {state}: it has no result yet")
    return (yield from _read(operation))


def _read(operation: operations_pb2.Operation) -> Flow[AnalysisResult]:
    if operation.HasField("error"):
        raise failure_of(operation)
    response = response_of(operation)
    arrays = yield from fetch_all({**arrays_of(response), **asked_arrays(operation)})
    return result_from(operation, response, arrays)


def follow(name: str) -> Flow[operations_pb2.Operation]:
    """Watch an operation until it has ended; a watch that breaks is opened again.

    Raises:
        UnavailableError: If the server stays away, or the watch breaks again and again without
            any progress.
    """
    patience = Patience()
    seen: Progress | None = None
    while True:
        watch = _Watch(operation_name(name))
        try:
            return (yield from watch.until_done())
        except UnavailableError as error:
            if watch.progress is None and seen is None:
                raise  # There was nobody from the start: no watch has broken.
            if watch.progress not in (None, seen):
                seen = watch.progress
                patience.reset()
            yield from patience.wait(error)


class _Watch:
    """One stream of an operation's changes."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._job: Job | None = None

    @property
    def progress(self) -> Progress | None:
        return self._job.progress if self._job else None

    def until_done(self) -> Flow[operations_pb2.Operation]:
        request = analysis_service_pb2.WatchOperationRequest(name=self._name)
        stream = yield from open_stream(lambda stubs: stubs.analyses.WatchOperation, request)
        while (update := (yield from stream.receive())) is not None:
            yield from self._take(update)
            if update.operation.done:
                return update.operation
        raise UnavailableError(f"the server stopped telling of {self._name} before it ended")

    def _take(self, update: analysis_service_pb2.WatchOperationResponse) -> Flow[None]:
        if update.HasField("operation"):
            self._job = job_from_proto(update.operation)
        elif self._job is None:
            raise ReplyError(f"the server told of changes of {self._name} before its state")
        elif update.HasField("progress"):
            self._job = replace(self._job, progress=progress_from_proto(update.progress))
        yield Tell(self._job)


def job(name: str) -> Flow[Job]:
    """Ask for a job's state."""
    return job_from_proto((yield from _get(name)))


def _get(name: str) -> Flow[operations_pb2.Operation]:
    request = operations_pb2.GetOperationRequest(name=operation_name(name))
    return (yield from call(lambda stubs: stubs.operations.GetOperation, request))


def jobs() -> Flow[tuple[Job, ...]]:
    """List all jobs, page after page."""
    found: list[Job] = []
    token = ""
    while True:
        request = operations_pb2.ListOperationsRequest(name="operations", page_token=token)
        page = yield from call(lambda stubs: stubs.operations.ListOperations, request)
        found += [job_from_proto(operation) for operation in page.operations]
        token = page.next_page_token
        if not token:
            return tuple(found)


def cancel(name: str) -> Flow[None]:
    """Ask for a job to be cancelled."""
    request = operations_pb2.CancelOperationRequest(name=operation_name(name))
    yield from call(lambda stubs: stubs.operations.CancelOperation, request)


def delete(name: str) -> Flow[None]:
    """Forget a job and its result."""
    request = operations_pb2.DeleteOperationRequest(name=operation_name(name))
    yield from call(lambda stubs: stubs.operations.DeleteOperation, request)
