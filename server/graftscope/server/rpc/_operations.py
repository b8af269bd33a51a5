"""AnalysisService and google.longrunning.Operations: jobs are started, told about and ended."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from typing import Any, TypeAlias, TypeVar

from google.longrunning import operations_pb2, operations_pb2_grpc
from google.protobuf import empty_pb2

from graftscope.server.access import caller
from graftscope.server.errors import NotReady, Unsupported
from graftscope.server.jobs import Job, JobRunner, ModulesQuestion, Snapshot, Spec, about
from graftscope.server.logs import get_logger
from graftscope.server.rpc._belongings import Belongings
from graftscope.server.rpc._calls import note
from graftscope.server.rpc._checks import check_request_id, job_id, page
from graftscope.server.rpc._clustering import ClusteringRequests
from graftscope.server.rpc._guard import Context
from graftscope.server.rpc._partial import Partials
from graftscope.server.rpc._partial_modules import question
from graftscope.server.rpc._reading import Reading
from graftscope.server.rpc._replies import operation, operations, progress, told
from graftscope.server.rpc._requests import Requests
from graftscope.server.rpc._watchers import Update, Watcher
from graftscope.server.rpc._worth import WorthRequests
from graftscope.v1 import analysis_service_pb2, analysis_service_pb2_grpc, worth_pb2

_log = get_logger("rpc")

_OfModel: TypeAlias = (
    analysis_service_pb2.InfluenceRequest
    | analysis_service_pb2.MagnitudeRequest
    | worth_pb2.FaithfulnessRequest
    | worth_pb2.IndependenceRequest
    | worth_pb2.ReachRequest
    | worth_pb2.ProbeRequest
)
"""What can be asked for as a dry run."""

_Worth = TypeVar(
    "_Worth",
    worth_pb2.FaithfulnessRequest,
    worth_pb2.IndependenceRequest,
    worth_pb2.ReachRequest,
    worth_pb2.ProbeRequest,
)

_A_CHANGE_S = 0.001
"""Between two changes that are told, whoever watches."""


class AnalysisServicer(analysis_service_pb2_grpc.AnalysisServiceServicer):
    """Answers with operations.

    Args:
        runner: runs the jobs.
        belongings: which are the caller's.
        requests: parses requests about models.
        clustering: parses requests about maps.
        worth: parses requests about what modules are worth.
        reading: parses what is large off the event loop.
    """

    def __init__(
        self,
        runner: JobRunner,
        belongings: Belongings,
        requests: Requests,
        clustering: ClusteringRequests,
        worth: WorthRequests,
        reading: Reading,
    ) -> None:
        self._watchers = 0
        self._runner, self._belongings = runner, belongings
        self._requests = requests
        self._clustering = clustering
        self._worth = worth
        self._reading = reading
        self._partials = Partials(runner, clustering.arrays)

    async def Influence(
        self, request: analysis_service_pb2.InfluenceRequest, context: Context
    ) -> operations_pb2.Operation:
        """Influence maps."""
        check_request_id(request.request_id)
        return await self._of_model(
            await self._reading.checked(request, self._requests.influence), request
        )

    async def Modules(
        self, request: analysis_service_pb2.ModulesRequest, context: Context
    ) -> operations_pb2.Operation:
        """Modules from influence maps."""
        check_request_id(request.request_id)
        return await self._create(
            await self._reading.checked(request, self._clustering.modules), "", request.request_id
        )

    async def Stability(
        self, request: analysis_service_pb2.StabilityRequest, context: Context
    ) -> operations_pb2.Operation:
        """How far modules depend on which channels they were found in."""
        check_request_id(request.request_id)
        return await self._create(
            await self._reading.checked(request, self._clustering.stability), "", request.request_id
        )

    async def Magnitude(
        self, request: analysis_service_pb2.MagnitudeRequest, context: Context
    ) -> operations_pb2.Operation:
        """How much modules change the image as K grows."""
        check_request_id(request.request_id)
        return await self._of_model(
            await self._reading.checked(request, self._requests.magnitude), request
        )

    async def Faithfulness(
        self, request: worth_pb2.FaithfulnessRequest, context: Context
    ) -> operations_pb2.Operation:
        """Whether modules' hybrids look like samples, and like real images."""
        return await self._worth_of_model(self._worth.faithfulness, request)

    async def Independence(
        self, request: worth_pb2.IndependenceRequest, context: Context
    ) -> operations_pb2.Operation:
        """Whether modules act by themselves, and where they say."""
        return await self._worth_of_model(self._worth.independence, request)

    async def Reach(
        self, request: worth_pb2.ReachRequest, context: Context
    ) -> operations_pb2.Operation:
        """How much of what can be reached few latents reach, and few channels."""
        return await self._worth_of_model(self._worth.reach, request)

    async def Probe(
        self, request: worth_pb2.ProbeRequest, context: Context
    ) -> operations_pb2.Operation:
        """What classifiers make of modules' hybrids."""
        return await self._worth_of_model(self._worth.probe, request)

    async def WatchOperation(
        self, request: analysis_service_pb2.WatchOperationRequest, context: Context
    ) -> AsyncIterator[analysis_service_pb2.WatchOperationResponse]:
        """The whole state first, then each change, until the operation is done."""
        self._watchers += 1
        try:
            async with aclosing(self._changes(request)) as changes:
                async for change in changes:
                    yield change
        finally:
            self._watchers -= 1

    async def _changes(
        self, request: analysis_service_pb2.WatchOperationRequest
    ) -> AsyncGenerator[analysis_service_pb2.WatchOperationResponse, None]:
        whole = True
        seen = await self._belongings.job(job_id(request.name))
        asked = _question(request, "partial_modules", seen.job)
        with Watcher(self._runner.so_fars, maps=request.partial_maps, question=asked) as watcher:
            async for snapshot in self._runner.watch(seen.job.id):
                if whole or snapshot.job.state.ended:
                    yield Update(operation=await told(snapshot))
                else:
                    yield Update(progress=progress(snapshot))
                whole = False
                for update in await watcher.news(snapshot):
                    yield update
                if not snapshot.job.state.ended:
                    # The more watch, the rarer each hears: all together leave time for others.
                    await asyncio.sleep(self._watchers * _A_CHANGE_S)

    async def PartialResult(
        self, request: analysis_service_pb2.PartialResultRequest, context: Context
    ) -> analysis_service_pb2.PartialResultResponse:
        """What an influence job has come to so far, at once; of one that is done, its result."""
        seen = await self._belongings.job(job_id(request.name))
        asked = _question(request, "modules", seen.job)
        try:
            return await self._partials.result(seen, asked)
        except NotReady:
            # It may have ended meanwhile.
            now = await self._belongings.job(seen.job.id)
            if now.job.result is None:
                raise
            return await self._partials.result(now, asked)

    async def ShareOperation(
        self, request: analysis_service_pb2.ShareOperationRequest, context: Context
    ) -> operations_pb2.Operation:
        """Lets every caller see an operation and its arrays, or its owner alone again."""
        mine = await self._belongings.own_job(job_id(request.name))
        shared = await self._runner.share(mine.job.id, not request.private)
        event = "job is its owner's alone" if request.private else "job shared"
        _log.info(event, job=mine.job.id, owner=mine.job.owner, by=caller().owner)
        return await told(shared)

    async def _worth_of_model(
        self, parse: Callable[[_Worth], Coroutine[Any, Any, Spec]], request: _Worth
    ) -> operations_pb2.Operation:
        check_request_id(request.request_id)
        return await self._of_model(await self._reading.checked(request, parse), request)

    async def _of_model(self, spec: Spec, request: _OfModel) -> operations_pb2.Operation:
        """What a request about a model is answered with; a dry run starts nothing."""
        model = request.model.partition("@")[0]
        if request.dry_run:
            planned = await self._runner.plan(
                spec, model=model, owner=caller().owner, share=caller().share
            )
            return _planned(planned)
        return await self._create(spec, model, request.request_id)

    async def _create(self, spec: Spec, model: str, request_id: str) -> operations_pb2.Operation:
        job = await self._runner.create(
            spec,
            model=model,
            request_id=request_id or None,
            owner=caller().owner,
            share=caller().share,
        )
        note(job=job.id, **about(spec))
        return await told(await self._runner.get(job.id))


def _question(
    request: analysis_service_pb2.WatchOperationRequest | analysis_service_pb2.PartialResultRequest,
    field: str,
    job: Job,
) -> ModulesQuestion | None:
    """Which modules are wanted so far; None where none are."""
    return question(getattr(request, field), job, field) if request.HasField(field) else None  # type: ignore[arg-type]


def _planned(job: Job) -> operations_pb2.Operation:
    """An operation without a name: it was not started."""
    message = operation(Snapshot(job))
    message.name = ""
    return message


class OperationsServicer(operations_pb2_grpc.OperationsServicer):
    """Gets, lists, cancels, deletes and waits.

    Args:
        runner: runs the jobs.
        belongings: which are the caller's.
    """

    def __init__(self, runner: JobRunner, belongings: Belongings) -> None:
        self._runner, self._belongings = runner, belongings

    async def ListOperations(
        self, request: operations_pb2.ListOperationsRequest, context: Context
    ) -> operations_pb2.ListOperationsResponse:
        """Operations, the newest first."""
        if request.filter:
            raise Unsupported("filters are not implemented yet", field="filter")
        limit, offset = page(request.page_size, request.page_token)
        snapshots = await self._belongings.page(limit + 1, offset)
        told = await asyncio.to_thread(operations, snapshots[:limit])
        return operations_pb2.ListOperationsResponse(
            operations=told,
            next_page_token=str(offset + len(told)) if len(snapshots) > len(told) else "",
        )

    async def GetOperation(
        self, request: operations_pb2.GetOperationRequest, context: Context
    ) -> operations_pb2.Operation:
        """An operation as it stands."""
        return await told(await self._belongings.job(job_id(request.name)))

    async def CancelOperation(
        self, request: operations_pb2.CancelOperationRequest, context: Context
    ) -> empty_pb2.Empty:
        """Asks an operation to stop; it keeps the shards that are done."""
        mine = await self._belongings.own_job(job_id(request.name))
        await self._runner.cancel(mine.job.id)
        return empty_pb2.Empty()

    async def DeleteOperation(
        self, request: operations_pb2.DeleteOperationRequest, context: Context
    ) -> empty_pb2.Empty:
        """Forgets an operation that is done."""
        mine = await self._belongings.own_job(job_id(request.name))
        await self._runner.delete(mine.job.id)
        return empty_pb2.Empty()

    async def WaitOperation(
        self, request: operations_pb2.WaitOperationRequest, context: Context
    ) -> operations_pb2.Operation:
        """The operation once it is done, or as it stands when the timeout is over."""
        has_timeout = request.HasField("timeout")
        timeout_s = request.timeout.ToMicroseconds() / 1e6 if has_timeout else None
        seen = await self._belongings.job(job_id(request.name))
        return await told(await self._runner.wait(seen.job.id, timeout_s))
