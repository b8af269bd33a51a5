"""gRPC by itself: a server that answers every hybridize at once, with images made beforehand.

python -m benchmarks.serving_grpc 3 64 64
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import numpy as np

from benchmarks.serving_load import Served
from graftscope import codec
from graftscope.v1 import model_service_pb2

SERVICE, METHOD = "graftscope.v1.ModelService", "Hybridize"


@contextmanager
def bare_grpc(image_shape: tuple[int, int, int]) -> Iterator[Served]:
    """Such a server in a process of its own.

    Args:
        image_shape: (c, H, W).
    """
    command = [sys.executable, "-m", "benchmarks.serving_grpc", *map(str, image_shape)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield Served(process.stdout.readline().strip(), process.pid)
    finally:
        process.terminate()
        process.wait()


async def serve(image_shape: tuple[int, ...]) -> None:
    """Serves on a free port, which it prints, until it is ended."""
    image = np.random.default_rng(0).standard_normal((1, *image_shape), np.float32)
    names = ("original1", "original2", "hybrid")
    reply = codec.packed(model_service_pb2.HybridizeResponse(), dict.fromkeys(names, image))

    async def hybridize(request: bytes, context: object) -> bytes:
        return reply

    server = grpc.aio.server()
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        METHOD: grpc.unary_unary_rpc_method_handler(hybridize)
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"127.0.0.1:{port}", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(tuple(map(int, sys.argv[1:]))))
