"""Classifiers that look at known parts of an image, as ONNX files."""

import json
from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper


def looks_at(
    regions: Sequence[tuple[int, int]],
    metadata: dict[str, str] | None = None,
    levels: Sequence[float] | None = None,
) -> bytes:
    """A network of one region, or of an attribute a region.

    Args:
        regions: columns of the image, from and to. Of a single one there are two classes: 0 where
            its mean colour is above its level, else 1. Of several there is a logit each: the mean
            colour less the level.
        metadata: what the file says of itself.
        levels: of each region; 0 by default.
    """
    stored = {
        "axis": np.array([3]),
        "all": np.array([1, 2, 3]),
    }
    nodes, means = [], []
    for at, (start, end) in enumerate(regions):
        stored |= {f"from{at}": np.array([start]), f"to{at}": np.array([end])}
        stored[f"level{at}"] = np.array(levels[at] if levels else 0, np.float32)
        nodes += [
            helper.make_node("Slice", ["image", f"from{at}", f"to{at}", "axis"], [f"part{at}"]),
            helper.make_node("ReduceMean", [f"part{at}", "all"], [f"mean{at}"], keepdims=0),
            helper.make_node("Sub", [f"mean{at}", f"level{at}"], [f"above{at}"]),
            helper.make_node("Unsqueeze", [f"above{at}", "one"], [f"score{at}"]),
        ]
        means.append(f"score{at}")
    stored["one"] = np.array([1])
    if len(regions) == 1:
        nodes.append(helper.make_node("Neg", means, ["other"]))
        means.append("other")
    nodes.append(helper.make_node("Concat", means, ["scores"], axis=1))
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", len(means)])],
        [numpy_helper.from_array(x, name) for name, x in stored.items() if name in used],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, metadata or {})
    onnx.checker.check_model(model)
    return model.SerializeToString()


def described(classes: Sequence[str], *, exclusive: bool = True) -> dict[str, str]:
    """What a file says of its classes, and that it takes images in [-1, 1]."""
    return {
        "graftscope.classes": json.dumps(list(classes)),
        "graftscope.exclusive": json.dumps(exclusive),
        "graftscope.preprocessing": json.dumps({"low": -1.0, "high": 1.0}),
    }


def mean_colours(images: NDArray[np.floating], start: int, end: int) -> NDArray[np.float64]:
    """(B,) mean colour of some columns of (B, c, H, W) images."""
    found: NDArray[np.float64] = images[..., start:end].mean(axis=(1, 2, 3), dtype=np.float64)
    return found
