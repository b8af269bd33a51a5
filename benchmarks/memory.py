"""Peak memory of the whole process for influence at a wide layer of a generator of large images.

    python benchmarks/memory.py [--channels 4] [--pairs 2] [--workers 2] [--constant]

The generator has random weights: 512 x 16 x 16 up to 32 x 1024 x 1024, images of 3 x 1024 x 1024.
It is exported in a process of its own, so that what is measured is a server with its client. A
limit on the address space would count what is only reserved, so the resident set is read.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import grpc
import numpy as np
import onnx
from google.longrunning import operations_pb2, operations_pb2_grpc
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from graftscope.bundle import read_bundle
from graftscope.server import embedded_server
from graftscope.v1 import (
    analysis_service_pb2,
    analysis_service_pb2_grpc,
    intervention_pb2,
    originals_pb2,
)

LATENT = 128
BASE = 16
CHANNELS = (512, 512, 256, 128, 64, 32, 32)
"""Of the maps from 16 x 16 to 1024 x 1024, each of twice the last one's side."""
LIMIT_MIB = 2048
TIMEOUT_S = 3600.0


def write_generator(path: Path) -> None:
    """A generator as an ONNX file: nearest neighbours, 3 x 3 convolutions, leaky ReLU."""
    random = np.random.default_rng(0)
    weights: dict[str, NDArray[np.generic]] = {
        "w_in": random.standard_normal((LATENT, CHANNELS[0] * BASE**2)).astype(np.float32) * 0.1,
        "shape": np.array([-1, CHANNELS[0], BASE, BASE]),
        "scales": np.array([1, 1, 2, 2], dtype=np.float32),
    }
    nodes = [
        helper.make_node("Gemm", ["z", "w_in"], ["flat"]),
        helper.make_node("Reshape", ["flat", "shape"], ["maps"]),
        helper.make_node("LeakyRelu", ["maps"], ["x0"], alpha=0.2),
    ]
    sizes = [*CHANNELS, 3]
    for i, (inner, outer) in enumerate(pairwise(sizes)):
        scale = 1 / np.sqrt(9 * inner)
        kernel = random.standard_normal((outer, inner, 3, 3)).astype(np.float32) * scale
        weights[f"w{i}"] = kernel.astype(np.float32)
        source = f"x{i}"
        is_last = outer == 3
        if not is_last:
            nodes.append(helper.make_node("Resize", [source, "", "scales"], [f"up{i}"]))
            source = f"up{i}"
        nodes.append(helper.make_node("Conv", [source, f"w{i}"], [f"conv{i}"], pads=[1, 1, 1, 1]))
        activation = ("Tanh", "image") if is_last else ("LeakyRelu", f"x{i + 1}")
        nodes.append(helper.make_node(activation[0], [f"conv{i}"], [activation[1]]))
    side = BASE * 2 ** (len(CHANNELS) - 1)
    graph = helper.make_graph(
        nodes,
        "large",
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["batch", LATENT])],
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, side, side])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    opset = helper.make_opsetid("", 20)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=10), path)


def export_elsewhere(model: Path, bundle: Path) -> None:
    """Makes the bundle in another process, whose memory is its own."""
    code = (
        "import sys; from graftscope.exporter import export; "
        "export(sys.argv[1], sys.argv[2], image_range=(-1.0, 1.0))"
    )
    subprocess.run([sys.executable, "-c", code, str(model), str(bundle)], check=True)


def measure(bundle: Path, layer: str, arguments: argparse.Namespace) -> dict[str, object]:
    """Runs an influence job on an embedded server, and reads the peak."""
    with (
        tempfile.TemporaryDirectory() as state,
        embedded_server([bundle], workers=arguments.workers, state=Path(state)) as address,
        grpc.insecure_channel(address) as channel,
    ):
        idle = peak_mib()
        started_s = time.perf_counter()
        request = analysis_service_pb2.InfluenceRequest(
            model=f"models/{read_bundle(bundle).manifest.name}",
            layer=layer,
            pairs=originals_pb2.Pairs(count=arguments.pairs),
        )
        if arguments.constant:
            request.each_intervention.CopyFrom(constants(layer, arguments.channels))
        elif arguments.channels:
            indices = range(arguments.channels)
            request.each_channel.CopyFrom(intervention_pb2.Channels(indices=indices))
        operation = analysis_service_pb2_grpc.AnalysisServiceStub(channel).Influence(request)
        planned = peak_mib()
        wait = operations_pb2.WaitOperationRequest(name=operation.name)
        waiting = operations_pb2_grpc.OperationsStub(channel)
        ended = waiting.WaitOperation(wait, timeout=TIMEOUT_S)
        if not ended.HasField("response"):
            raise SystemExit(f"the job failed: {ended.error.message}")
        metadata = analysis_service_pb2.AnalysisMetadata()
        ended.metadata.Unpack(metadata)
        return {
            "layer": layer,
            "channels": arguments.channels or "all",
            "pairs": arguments.pairs,
            "workers": arguments.workers,
            "plan": f"{metadata.plan.batch} pairs x {metadata.plan.sets} sets",
            "estimate_s": metadata.estimate.duration.ToSeconds(),
            "seconds": round(time.perf_counter() - started_s, 1),
            "idle_mib": idle,
            "planned_mib": planned,
            "peak_mib": peak_mib(),
        }


def constants(layer: str, channels: int) -> analysis_service_pb2.Interventions:
    """Channels set to zero, one after another: what the general path computes."""
    edits = (
        intervention_pb2.Edit(
            layer=layer,
            channels=intervention_pb2.Channels(indices=[channel]),
            constant=intervention_pb2.Constant(scalar=0.0),
        )
        for channel in range(channels)
    )
    interventions = [intervention_pb2.Intervention(edits=[edit]) for edit in edits]
    return analysis_service_pb2.Interventions(interventions=interventions)


def peak_mib() -> int:
    """The largest resident set of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--channels", type=int, default=4, help="how many; 0 for all")
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--constant", action="store_true", help="zero instead of a swap")
    parser.add_argument("--layer", type=int, default=0, help="which map, from the latents on")
    parser.add_argument("--bundle", type=Path, help="kept there, and used again if it is there")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bundle: Path = arguments.bundle or Path(folder) / "large"
        if not bundle.exists():
            model = Path(folder) / "large.onnx"
            write_generator(model)
            export_elsewhere(model, bundle)
        layers = [x.name for x in read_bundle(bundle).manifest.layers if x.height >= BASE]
        result = measure(bundle, layers[arguments.layer], arguments)
    print(json.dumps(result, indent=2) if arguments.json else result)
    if int(str(result["peak_mib"])) > LIMIT_MIB:
        raise SystemExit(f"more than {LIMIT_MIB} MiB")


if __name__ == "__main__":
    main()
