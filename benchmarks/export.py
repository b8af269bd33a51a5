"""Time and memory of an export: a DCGAN-like .onnx file of about 100 MB, in a process of its own.

    python benchmarks/export.py [--channels 1024,1024,320,128,64] [--json]

What counts: wall time below 30 s, peak memory below 1 GB, a bundle of at most 1.2 times the
weights. Weights are random: they cost the same.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LATENTS = 100
MOST_S, MOST_BYTES, MOST_RATIO = 30.0, 1e9, 1.2
CHILD = "import sys; from graftscope.exporter import export; export(sys.argv[1], sys.argv[2])"


def write_dcgan(path: Path, channels: list[int]) -> int:
    """Write latents (B, 100, 1, 1) to images (B, 3, H, H), and return the weights' bytes."""
    randomness = np.random.default_rng(0)
    nodes, weights, value = [], [], "z"
    for index, (given, made) in enumerate(zip([LATENTS, *channels], [*channels, 3], strict=True)):
        kernel = randomness.standard_normal((given, made, 4, 4), dtype=np.float32) * 0.02
        weights.append(numpy_helper.from_array(kernel, f"w{index}"))
        stride, pad = (1, 0) if index == 0 else (2, 1)
        up = helper.make_node(
            "ConvTranspose",
            [value, f"w{index}"],
            [f"up{index}"],
            kernel_shape=[4, 4],
            strides=[stride] * 2,
            pads=[pad] * 4,
        )
        end = index == len(channels)
        value = "image" if end else f"relu{index}"
        nodes += [up, helper.make_node("Tanh" if end else "Relu", [f"up{index}"], [value])]
    side = 4 * 2 ** len(channels)
    z, image = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *extents])
        for name, extents in (("z", [LATENTS, 1, 1]), ("image", [3, side, side]))
    )
    graph = helper.make_graph(nodes, "dcgan", [z], [image], weights)
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return sum(len(each.raw_data) for each in weights)


def measure(channels: list[int]) -> dict[str, object]:
    """Export in a process of its own and return what it took."""
    with tempfile.TemporaryDirectory() as folder:
        source, bundle = Path(folder, "dcgan.onnx"), Path(folder, "dcgan")
        weights = write_dcgan(source, channels)
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", CHILD, source, bundle], check=True)
        wall_s = time.perf_counter() - start
        size = sum(path.stat().st_size for path in bundle.iterdir())
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    return {
        "weights_bytes": weights,
        "wall_s": round(wall_s, 2),
        "peak_bytes": peak,
        "bundle_per_weights": round(size / weights, 4),
        "fits": wall_s < MOST_S and peak < MOST_BYTES and size <= MOST_RATIO * weights,
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--channels", default="1024,1024,320,128,64")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    figures = measure([int(each) for each in given.channels.split(",")])
    if given.json:
        print(json.dumps(figures))
    else:
        print("\n".join(f"{name}: {value}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
