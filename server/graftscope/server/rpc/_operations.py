"""google.longrunning.Operations over the jobs."""

from google.longrunning import operations_pb2, operations_pb2_grpc
from google.protobuf import empty_pb2

from graftscope.server.errors import Unsupported
from graftscope.server.jobs import JobRunner
from graftscope.server.rpc._guard import Context
from graftscope.server.rpc._names import job_id
from graftscope.server.rpc._paging import page
from graftscope.server.rpc._replies import operation


class OperationsServicer(operations_pb2_grpc.OperationsServicer):
    """Gets, lists, cancels, deletes and waits.

    Args:
        runner: runs the jobs.
    """

    def __init__(self, runner: JobRunner) -> None:
        self._runner = runner

    async def ListOperations(
        self, request: operations_pb2.ListOperationsRequest, context: Context
    ) -> operations_pb2.ListOperationsResponse:
        """Operations, the newest first."""
        if request.filter:
            raise Unsupported("filters are not implemented yet", field="filter")
        limit, offset = page(request.page_size, request.page_token)
        snapshots = await self._runner.page(limit + 1, offset)
        return operations_pb2.ListOperationsResponse(
            operations=[operation(snapshot) for snapshot in snapshots[:limit]],
            next_page_token=str(offset + limit) if len(snapshots) > limit else "",
        )

    async def GetOperation(
        self, request: operations_pb2.GetOperationRequest, context: Context
    ) -> operations_pb2.Operation:
        """An operation as it stands."""
        return operation(await self._runner.get(job_id(request.name)))

    async def CancelOperation(
        self, request: operations_pb2.CancelOperationRequest, context: Context
    ) -> empty_pb2.Empty:
        """Asks an operation to stop; it keeps the shards that are done."""
        await self._runner.cancel(job_id(request.name))
        return empty_pb2.Empty()

    async def DeleteOperation(
        self, request: operations_pb2.DeleteOperationRequest, context: Context
    ) -> empty_pb2.Empty:
        """Forgets an operation that is done."""
        await self._runner.delete(job_id(request.name))
        return empty_pb2.Empty()

    async def WaitOperation(
        self, request: operations_pb2.WaitOperationRequest, context: Context
    ) -> operations_pb2.Operation:
        """The operation once it is done, or as it stands when the timeout is over."""
        has_timeout = request.HasField("timeout")
        timeout_s = request.timeout.ToMicroseconds() / 1e6 if has_timeout else None
        return operation(await self._runner.wait(job_id(request.name), timeout_s))
