"""The smallest graphs that a session can run, as long as a test needs them to run."""

from pathlib import Path

from onnx import TensorProto, helper

from graftscope.server.engine._devices import Graph


def chain(length: int, size: int) -> Graph:
    """A graph that multiplies its input by itself, over and over."""
    names = ["x", *(f"x{i}" for i in range(1, length)), "y"]
    nodes = [
        helper.make_node("MatMul", [names[i], "x"], [names[i + 1]]) for i in range(len(names) - 1)
    ]
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [size, size]) for n in ("x", "y"))
    graph = helper.make_graph(nodes, "chain", [x], [y])
    opset = helper.make_opsetid("", 18)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=10)
    return Graph(model.SerializeToString(), Path())
