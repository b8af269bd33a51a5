"""Calls at a steady rate, whatever becomes of them, from a process of its own.

    python _load.py ADDRESS MODEL LAYER PAIRS CALLS RATE DEADLINE_S

tells in JSON how often each status came, and in how many seconds.
"""

import asyncio
import json
import sys
import time
from collections import defaultdict

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from graftscope.v1 import (
    intervention_pb2,
    model_service_pb2,
    model_service_pb2_grpc,
    originals_pb2,
)


def request(model: str, layer: str, pairs: int, seed: int) -> model_service_pb2.HybridizeRequest:
    """Hybrids of some pairs, other ones each time."""
    edit = intervention_pb2.Edit(layer=layer, channels=intervention_pb2.Channels(indices=[0]))
    return model_service_pb2.HybridizeRequest(
        model=f"models/{model}",
        intervention=intervention_pb2.Intervention(edits=[edit]),
        pairs=originals_pb2.Pairs(count=pairs, seed=seed),
    )


async def _flood(
    address: str, model: str, layer: str, pairs: int, calls: int, rate: float, deadline_s: float
) -> dict[str, list[float]]:
    found: defaultdict[str, list[float]] = defaultdict(list)

    async def one(number: int) -> None:
        started_s = time.perf_counter()
        try:
            await stub.Hybridize(request(model, layer, pairs, number), timeout=deadline_s)
            status = "OK"
        except grpc.aio.AioRpcError as error:
            status = error.code().name if _tells_why(error) else f"{error.code().name} bare"
        found[status].append(time.perf_counter() - started_s)

    async with grpc.aio.insecure_channel(address) as channel:
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        await channel.channel_ready()
        began_s, tasks = time.perf_counter(), []
        for number in range(calls):
            due_s = number / rate if rate else 0.0
            if (ahead_s := began_s + due_s - time.perf_counter()) > 0:
                await asyncio.sleep(ahead_s)
            tasks.append(asyncio.create_task(one(number)))
        await asyncio.gather(*tasks)
    return found


def _tells_why(error: grpc.aio.AioRpcError) -> bool:
    """Whether a reason is told, and of an overload a time to ask again."""
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return True
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    if status is None:
        return False
    kinds = [error_details_pb2.ErrorInfo.DESCRIPTOR]
    if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
        kinds.append(error_details_pb2.RetryInfo.DESCRIPTOR)
    return all(any(detail.Is(kind) for detail in status.details) for kind in kinds)


if __name__ == "__main__":
    address, model, layer, pairs, calls, rate, deadline_s = sys.argv[1:]
    flood = _flood(address, model, layer, int(pairs), int(calls), float(rate), float(deadline_s))
    sys.stdout.write(json.dumps(asyncio.run(flood)))
