"""AnalysisService: starts jobs and tells how they go."""

import asyncio
import math
import time
from collections.abc import AsyncIterator

import numpy as np
from google.longrunning import operations_pb2
from numpy.typing import NDArray

from graftscope.codec import INLINE_LIMIT_BYTES, tensor
from graftscope.server.analysis import area_means
from graftscope.server.jobs import Job, JobRunner, Snapshot, Spec, Sums
from graftscope.server.rpc._checks import check_request_id
from graftscope.server.rpc._clustering import ClusteringRequests
from graftscope.server.rpc._guard import Context
from graftscope.server.rpc._names import job_id
from graftscope.server.rpc._replies import operation, progress
from graftscope.server.rpc._requests import Requests
from graftscope.v1 import analysis_service_pb2, analysis_service_pb2_grpc

_PREVIEW_SIDE = 32
_PREVIEW_EVERY_S = 1.0


class AnalysisServicer(analysis_service_pb2_grpc.AnalysisServiceServicer):
    """Answers with operations.

    Args:
        runner: runs the jobs.
        requests: parses requests about models.
        clustering: parses requests about maps.
    """

    def __init__(
        self, runner: JobRunner, requests: Requests, clustering: ClusteringRequests
    ) -> None:
        self._runner = runner
        self._requests = requests
        self._clustering = clustering

    async def Influence(
        self, request: analysis_service_pb2.InfluenceRequest, context: Context
    ) -> operations_pb2.Operation:
        """Influence maps."""
        check_request_id(request.request_id)
        spec = await self._requests.influence(request)
        model = request.model.partition("@")[0]
        if request.dry_run:
            return _planned(await self._runner.plan(spec, model=model))
        return await self._create(spec, model, request.request_id)

    async def Modules(
        self, request: analysis_service_pb2.ModulesRequest, context: Context
    ) -> operations_pb2.Operation:
        """Modules from influence maps."""
        check_request_id(request.request_id)
        return await self._create(await self._clustering.modules(request), "", request.request_id)

    async def Stability(
        self, request: analysis_service_pb2.StabilityRequest, context: Context
    ) -> operations_pb2.Operation:
        """How far modules depend on which channels they were found in."""
        check_request_id(request.request_id)
        return await self._create(await self._clustering.stability(request), "", request.request_id)

    async def Magnitude(
        self, request: analysis_service_pb2.MagnitudeRequest, context: Context
    ) -> operations_pb2.Operation:
        """How much modules change the image as K grows."""
        check_request_id(request.request_id)
        spec = await self._requests.magnitude(request)
        model = request.model.partition("@")[0]
        if request.dry_run:
            return _planned(await self._runner.plan(spec, model=model))
        return await self._create(spec, model, request.request_id)

    async def WatchOperation(
        self, request: analysis_service_pb2.WatchOperationRequest, context: Context
    ) -> AsyncIterator[analysis_service_pb2.WatchOperationResponse]:
        """The whole state first, then each change, until the operation is done."""
        whole, previewed_s = True, -_PREVIEW_EVERY_S
        async for snapshot in self._runner.watch(job_id(request.name)):
            if whole or snapshot.job.state.ended:
                yield analysis_service_pb2.WatchOperationResponse(operation=operation(snapshot))
            else:
                yield analysis_service_pb2.WatchOperationResponse(progress=progress(snapshot))
            whole = False
            due = time.monotonic() - previewed_s >= _PREVIEW_EVERY_S
            if request.partial_maps and snapshot.sums is not None and due:
                maps = await asyncio.to_thread(_partial, snapshot.sums)
                yield analysis_service_pb2.WatchOperationResponse(partial_maps=maps)
                previewed_s = time.monotonic()

    async def _create(self, spec: Spec, model: str, request_id: str) -> operations_pb2.Operation:
        job = await self._runner.create(spec, model=model, request_id=request_id or None)
        return operation(await self._runner.get(job.id))


def _planned(job: Job) -> operations_pb2.Operation:
    """An operation without a name: it was not started."""
    message = operation(Snapshot(job))
    message.name = ""
    return message


def _partial(sums: Sums) -> analysis_service_pb2.PartialMaps:
    return analysis_service_pb2.PartialMaps(
        pairs=sums.pairs,
        maps=tensor(_shrink(sums.moments.mean).astype(np.float32)),
        individual=tensor(sums.individual.mean.ravel()),
    )


def _shrink(maps: NDArray[np.float64]) -> NDArray[np.float64]:
    """(E, H, W) averaged to areas so that no side is longer than 32, or all are 1 MiB of FP32."""
    return area_means(
        maps, min(_PREVIEW_SIDE, math.isqrt(INLINE_LIMIT_BYTES // 4 // len(maps)) or 1)
    )
