"""The processes that a server starts: one that tries models, and those that jobs compute in."""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from graftscope.sandbox import KnownModels, Sandbox, SandboxError
from graftscope.server.doctor._case import Case
from graftscope.server.doctor._finding import Finding, ok, problem, warning
from graftscope.server.engine import Cancellation
from graftscope.server.errors import WorkerLost
from graftscope.server.workers import Workers


def sandbox(case: Case) -> Iterator[Finding]:
    """The process that tries models that were not made here."""
    settings = case.settings
    if not settings.sandbox:
        found = "turned off: a crafted model can end or hang the server"
        if settings.registration:
            yield problem(
                f"{found}, and admins may add models over the wire",
                "--sandbox, or --no-allow-registration",
            )
        else:
            yield warning(found, "--sandbox, unless all bundles are your own")
        return
    began_s = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="graftscope-doctor-") as folder:
        file = Path(folder) / "probe.onnx"
        file.write_bytes(_probe())
        try:
            Sandbox(settings.limits, KnownModels([])).require_file(file)
        except SandboxError as error:
            yield problem(
                f"a harmless model was refused there: {error}",
                "use the sandbox's default settings, and let the server start processes"
                " (ulimit -u, TasksMax=, pids.max)",
            )
            return
    yield ok(f"a model was tried in {time.perf_counter() - began_s:.1f} s")


def workers(case: Case) -> Iterator[Finding]:
    """The processes that jobs compute in."""
    began_s = time.perf_counter()
    try:
        other = Workers(most=1).run(Cancellation(), os.getpid)
    except (WorkerLost, OSError) as error:
        yield problem(
            f"no process can be started: {error}",
            "let the server start processes (ulimit -u, TasksMax=, pids.max)",
        )
        return
    if other == os.getpid():
        yield problem("calls do not reach another process", "report it: this is a bug")
        return
    yield ok(
        f"a process started and answered in {time.perf_counter() - began_s:.1f} s;"
        f" {case.settings.workers} may run side by side"
    )


def _probe() -> bytes:
    """A model that gives back its input."""
    shape: list[str | int | None] = ["batch", 1]
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)
    node = helper.make_node("Identity", ["x"], ["y"])
    graph = helper.make_graph([node], "probe", [value], [result])
    model: onnx.ModelProto = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10
    )
    return model.SerializeToString()
