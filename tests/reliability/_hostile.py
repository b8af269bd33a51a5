"""Models that are made to harm whoever opens them, each a few lines, with what is said of it.

Run as a script, it writes all of them to a folder: `python tests/reliability/_hostile.py DIR`.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from graftscope.sandbox import Reason

Nodes = list[onnx.NodeProto]
Weights = list[onnx.TensorProto]

OPSET: Final = helper.make_opsetid("", 18)
GRAPH_FIELD: Final = 7


@dataclass(frozen=True)
class Hostile:
    """A crafted file.

    Attributes:
        name: What it does.
        make: Gives its bytes.
        reasons: What may be said of it as a file that is exported.
        as_graph: What may be said of it as a bundle's graph; the same by default.
    """

    name: str
    make: Callable[[], bytes]
    reasons: tuple[str, ...]
    as_graph: tuple[str, ...] = ()

    @property
    def of_bundle(self) -> tuple[str, ...]:
        """What may be said of it as a bundle's graph."""
        return self.as_graph or self.reasons


def start() -> tuple[Nodes, Weights]:
    """The first nodes of a generator: z (B, 4) to maps `r` (B, 8, 4, 4)."""
    weights = [
        numpy_helper.from_array(np.ones((4, 128), np.float32), "w"),
        numpy_helper.from_array(np.array([-1, 8, 4, 4]), "s"),
        numpy_helper.from_array(np.ones((8, 3, 2, 2), np.float32), "k"),
    ]
    nodes = [
        helper.make_node("MatMul", ["z", "w"], ["m"]),
        helper.make_node("Reshape", ["m", "s"], ["r"]),
    ]
    return nodes, weights


def generator(
    inner: Sequence[onnx.NodeProto] = (), weights: Sequence[onnx.TensorProto] = (), last: str = "r"
) -> onnx.ModelProto:
    """A generator of 8 x 8 images with nodes in between."""
    nodes, own = start()
    nodes += inner
    nodes.append(helper.make_node("ConvTranspose", [last, "k"], ["image"], strides=[2, 2]))
    latent = helper.make_tensor_value_info("z", TensorProto.FLOAT, ["B", 4])
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["B", 3, 8, 8])
    graph = helper.make_graph(nodes, "g", [latent], [image], [*own, *weights])
    return helper.make_model(graph, opset_imports=[OPSET], ir_version=10)


def pooled(*nodes: onnx.NodeProto, large: str, weights: Sequence[onnx.TensorProto] = ()) -> bytes:
    """A generator that makes a large tensor and keeps its mean."""
    ends = [
        helper.make_node("ReduceMean", [large], ["mean"], keepdims=0),
        helper.make_node("Add", ["r", "mean"], ["x"]),
    ]
    return generator([*nodes, *ends], weights, "x").SerializeToString()


def numbers(name: str, *values: int) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, np.int64), name)


def node(kind: str, inputs: Sequence[str], output: str = "x", **attributes: Any) -> Nodes:
    return [helper.make_node(kind, inputs, [output], **attributes)]


def single(kind: str, inputs: Sequence[str] = ("r",), **attributes: Any) -> bytes:
    """A generator with one more node."""
    return generator(node(kind, inputs, **attributes), last="x").SerializeToString()


def chain(count: int, kind: str = "Relu") -> bytes:
    names = ["r", *(f"a{i}" for i in range(count))]
    inner = [helper.make_node(kind, [names[i]], [names[i + 1]]) for i in range(count)]
    return generator(inner, last=names[-1]).SerializeToString()


def called(count: int, calls: int, *, endless: bool = False) -> bytes:
    """Functions that each call the next one, once or more often."""
    model = generator(node("F0", ["r"], domain="d"), last="x")
    opsets = [OPSET, helper.make_opsetid("d", 1)]
    for i in range(count):
        names = ["x", *(f"y{j}" for j in range(calls - 1)), "y"]
        following = "F0" if endless and i == count - 1 else f"F{i + 1}"
        body = [
            helper.make_node(following, [names[j]], [names[j + 1]], domain="d")
            for j in range(calls)
        ]
        if i == count - 1 and not endless:
            body = node("Relu", ["x"], "y")
        model.functions.append(helper.make_function("d", f"F{i}", ["x"], ["y"], body, opsets))
    model.opset_import.append(opsets[1])
    return model.SerializeToString()


def looped(kind: str = "Loop") -> bytes:
    """A loop that ends after 2^62 rounds."""
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [*node("Identity", ["c"], "c2"), *node("Relu", ["v"], "v2")],
        "body",
        [
            value("i", TensorProto.INT64, []),
            value("c", TensorProto.BOOL, []),
            value("v", TensorProto.FLOAT, None),
        ],
        [value("c2", TensorProto.BOOL, []), value("v2", TensorProto.FLOAT, None)],
    )
    weights = [
        numpy_helper.from_array(np.array(2**62), "rounds"),
        numpy_helper.from_array(np.array(True), "goes_on"),
    ]
    inner = node(kind, ["rounds", "goes_on", "r"], body=body)
    return generator(inner, weights, "x").SerializeToString()


def nested(deep: int) -> bytes:
    """`If` inside `If`."""
    value = helper.make_tensor_value_info
    yes = numpy_helper.from_array(np.array(True), "yes")
    out = value("o", TensorProto.FLOAT, None)
    other = helper.make_graph(node("Identity", ["r"], "o"), "g", [], [out])
    inner = other
    for _ in range(deep):
        nodes = node("If", ["yes"], "o", then_branch=inner, else_branch=other)
        inner = helper.make_graph(nodes, "g", [], [out])
    last = node("If", ["yes"], then_branch=inner, else_branch=other)
    return generator(last, [yes], "x").SerializeToString()


def message(field: int, content: bytes) -> bytes:
    """A field with a length, as protobuf writes it."""
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def empties(field: int, mebibytes: int) -> bytes:
    """A graph of empty messages."""
    return message(GRAPH_FIELD, message(field, b"") * (mebibytes * 2**20 // 2))


def outside(place: str) -> bytes:
    """A generator whose first weights lie elsewhere."""
    model = generator()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=place)
    return model.SerializeToString()


def not_a_number() -> bytes:
    """A generator of whose weights one is NaN, though no sample of zeros shows it."""
    model = generator()
    weights = np.ones((4, 128), np.float32)
    weights[1, 17] = np.nan
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "w"))
    return model.SerializeToString()


def claiming(*extents: int) -> bytes:
    """A generator with weights of which only the shape is large."""
    model = generator()
    tensor = model.graph.initializer.add(name="huge", data_type=TensorProto.FLOAT)
    tensor.dims.extend(extents)
    tensor.raw_data = b"1234"
    model.graph.node.insert(2, helper.make_node("ReduceMean", ["huge"], ["mean"], keepdims=0))
    return model.SerializeToString()


def of_shape(*extents: int) -> bytes:
    return pooled(*node("ConstantOfShape", ["n"], "c"), large="c", weights=[numbers("n", *extents)])


def squared(times: int) -> bytes:
    """Each step doubles a length: 2^times in the end, of which no shape is written."""
    names = ["v", *(f"v{i}" for i in range(times))]
    inner = node("Flatten", ["r"], "v")
    inner += [
        helper.make_node("Concat", [names[i], names[i]], [names[i + 1]], axis=1)
        for i in range(times)
    ]
    return pooled(*inner, large=names[-1])


TOO_LARGE: Final = (Reason.TOO_LARGE.value,)
NOT_ALLOWED: Final = (Reason.NOT_ALLOWED.value,)
UNREADABLE: Final = (Reason.UNREADABLE.value,)
CRASHES: Final = (Reason.CRASHES.value, Reason.UNREADABLE.value)
SLOW: Final = (Reason.TOO_SLOW.value,)
NOT_NUMBERS: Final = (Reason.NOT_NUMBERS.value,)
ELSEWHERE: Final = (Reason.WEIGHTS.value,)

HOSTILE: Final = (
    Hostile(
        "DepthToSpace by 2^32 divides by zero",
        lambda: single("DepthToSpace", blocksize=2**32),
        CRASHES,
    ),
    Hostile("3,000 functions in a chain", lambda: called(3000, 1), TOO_LARGE, NOT_ALLOWED),
    Hostile("1,500 functions in a chain", lambda: called(1500, 1), TOO_LARGE, NOT_ALLOWED),
    Hostile("functions of 2^40 nodes", lambda: called(40, 2), TOO_LARGE, NOT_ALLOWED),
    Hostile("functions of 10^18 nodes", lambda: called(18, 10), TOO_LARGE, NOT_ALLOWED),
    Hostile(
        "functions that call each other without end",
        lambda: called(3, 1, endless=True),
        NOT_ALLOWED,
    ),
    Hostile("a loop without end", looped, SLOW, NOT_ALLOWED),
    Hostile("If inside If, 20 deep", lambda: nested(20), TOO_LARGE),
    Hostile("20,000 nodes", lambda: chain(20_000), TOO_LARGE),
    Hostile("7,000 nodes in a chain", lambda: chain(7_000), SLOW),
    Hostile("20 million empty nodes", lambda: empties(1, 40), TOO_LARGE),
    Hostile("20 million empty initializers", lambda: empties(5, 40), TOO_LARGE),
    Hostile("20 million empty inputs", lambda: empties(11, 40), TOO_LARGE),
    Hostile("20 million empty shapes", lambda: empties(13, 40), TOO_LARGE),
    Hostile("20 million empty notes", lambda: empties(16, 40), TOO_LARGE),
    Hostile(
        "a node with 20 million empty attributes",
        lambda: message(GRAPH_FIELD, message(1, message(5, b"") * (20 * 2**20))),
        TOO_LARGE,
    ),
    Hostile(
        "a node with 20 million empty inputs",
        lambda: message(GRAPH_FIELD, message(1, message(1, b"") * (20 * 2**20))),
        TOO_LARGE,
    ),
    Hostile(
        "a shape of 20 million extents",
        lambda: message(
            GRAPH_FIELD,
            message(
                11,
                message(2, message(1, message(2, message(1, b"") * (20 * 2**20)))),
            ),
        ),
        TOO_LARGE,
    ),
    Hostile(
        "200 MiB of notes",
        lambda: generator().SerializeToString() + message(6, b"x" * (200 * 2**20)),
        TOO_LARGE,
    ),
    Hostile(
        "graphs inside graphs without end",
        lambda: _inside(2_000),
        TOO_LARGE,
    ),
    Hostile("ConstantOfShape of 128 GiB", lambda: of_shape(2**35), TOO_LARGE),
    Hostile("ConstantOfShape of 2^62", lambda: of_shape(2**31, 2**31), TOO_LARGE),
    Hostile(
        "Expand to 1 TiB",
        lambda: pooled(
            *node("Expand", ["r", "n"], "c"),
            large="c",
            weights=[numbers("n", 2**31, 8, 4, 4)],
        ),
        TOO_LARGE,
    ),
    Hostile(
        "Tile to 1 TiB",
        lambda: pooled(
            *node("Tile", ["r", "n"], "c"), large="c", weights=[numbers("n", 1, 1, 2**15, 2**16)]
        ),
        TOO_LARGE,
    ),
    Hostile(
        "a Conv of 512 GiB",
        lambda: pooled(
            *node("Conv", ["r", "k1"], "c", pads=[65536] * 4),
            large="c",
            weights=[numpy_helper.from_array(np.ones((8, 8, 1, 1), np.float32), "k1")],
        ),
        TOO_LARGE,
    ),
    Hostile(
        "a Pad of 512 GiB",
        lambda: pooled(
            *node("Pad", ["r", "n"], "c"),
            large="c",
            weights=[numbers("n", 0, 0, 65536, 65536, 0, 0, 65536, 65536)],
        ),
        TOO_LARGE,
    ),
    Hostile(
        "a Resize of 190 GiB",
        lambda: pooled(
            *node("Resize", ["r", "", "n"], "c"),
            large="c",
            weights=[numpy_helper.from_array(np.array([1, 1, 2e4, 2e4], np.float32), "n")],
        ),
        TOO_LARGE,
    ),
    Hostile(
        "a ConvTranspose of strides of 2^15",
        lambda: pooled(*node("ConvTranspose", ["r", "k"], "c", strides=[2**15, 2**15]), large="c"),
        TOO_LARGE,
    ),
    Hostile("a length that doubles 30 times", lambda: squared(30), TOO_LARGE),
    Hostile(
        "a Range of 2^40",
        lambda: pooled(
            *node("Range", ["a", "b", "c1"], "q"),
            *node("Cast", ["q"], "c", to=TensorProto.FLOAT),
            large="c",
            weights=[
                numpy_helper.from_array(np.array(each), name)
                for name, each in (("a", 0), ("b", 2**40), ("c1", 1))
            ],
        ),
        (*TOO_LARGE, Reason.TOO_MUCH_MEMORY.value),
    ),
    Hostile(
        "OneHot of 2^31 classes",
        lambda: pooled(
            *node("Constant", [], "i", value=numbers("i", 1, 2)),
            *node("OneHot", ["i", "n", "v"], "c"),
            large="c",
            weights=[
                numpy_helper.from_array(np.array(2**31), "n"),
                numpy_helper.from_array(np.array([0, 1], np.float32), "v"),
            ],
        ),
        (*TOO_LARGE, Reason.TOO_MUCH_MEMORY.value),
    ),
    Hostile("weights that claim 4 TiB", lambda: claiming(2**20, 2**20), TOO_LARGE),
    Hostile("weights of which one is NaN", not_a_number, NOT_NUMBERS),
    Hostile("weights of /etc/passwd", lambda: outside("/etc/passwd"), ELSEWHERE),
    Hostile("weights above its folder", lambda: outside("../../weights.bin"), ELSEWHERE),
    Hostile("an operation of another domain", lambda: single("Run", domain="evil"), NOT_ALLOWED),
    Hostile(
        "an operation that reads a file",
        lambda: single("EPContext", domain="com.microsoft", ep_cache_context="/etc/passwd"),
        NOT_ALLOWED,
    ),
    Hostile(
        "a search inside the graph",
        lambda: single("BeamSearch", domain="com.microsoft"),
        NOT_ALLOWED,
    ),
    Hostile("a picture that is decoded", lambda: single("ImageDecoder"), NOT_ALLOWED),
    Hostile("a regular expression", lambda: single("RegexFullMatch"), NOT_ALLOWED),
    Hostile("an empty file", lambda: b"", UNREADABLE),
    Hostile("a file of zeros", lambda: bytes(2**20), UNREADABLE),
    Hostile("a file of noise", lambda: np.random.default_rng(0).bytes(2**16), UNREADABLE),
    Hostile(
        "a file that is cut short",
        lambda: generator().SerializeToString()[:-700],
        UNREADABLE,
    ),
    Hostile("a message that claims 2^60 bytes", lambda: b"\x3a" + _varint(2**60), UNREADABLE),
)
"""What is refused as a file that is exported and as a graph of a bundle alike."""


def _inside(deep: int) -> bytes:
    graph = b""
    for _ in range(deep):
        graph = message(1, message(5, message(6, graph)))
    return message(GRAPH_FIELD, graph)


def write_all(folder: Path) -> None:
    """Write every file."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, each in enumerate(HOSTILE):
        (folder / f"{i:02d}.onnx").write_bytes(each.make())


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))
