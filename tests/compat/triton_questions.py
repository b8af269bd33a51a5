"""Asks a Triton server with NVIDIA's own client, in the environment in which that is installed.

Arguments: the server's address, a folder with one `NAME.npz` of inputs for each request, the
repository. It answers with `NAME.made.npz` there, or `NAME.refused.txt`, and with `models.json`.
A request's name is the model's, and behind a comma whatever tells it from others.
"""

import json
import sys
from pathlib import Path

import numpy as np
from google.protobuf import text_format
from tritonclient import grpc
from tritonclient.grpc import model_config_pb2
from tritonclient.utils import InferenceServerException, np_to_triton_dtype


def main() -> None:
    address, folder, repository = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    client = grpc.InferenceServerClient(address)
    models = {path.name: describe(client, path) for path in sorted(repository.iterdir())}
    (folder / "models.json").write_text(json.dumps(models))
    for path in sorted(folder.glob("*.npz")):
        ask(client, path)


def describe(client: grpc.InferenceServerClient, model: Path) -> dict[str, object]:
    """What the server says of a model, and whether it read the configuration as protobuf does."""
    metadata = client.get_model_metadata(model.name)
    told = client.get_model_config(model.name).config
    written = text_format.Parse(
        (model / "config.pbtxt").read_text(), model_config_pb2.ModelConfig()
    )
    fields = ("name", "max_batch_size", "input", "output", "ensemble_scheduling", "parameters")
    return {
        "ready": client.is_model_ready(model.name, "1"),
        "versions": list(metadata.versions),
        "inputs": [[each.name, each.datatype, list(each.shape)] for each in metadata.inputs],
        "outputs": [[each.name, each.datatype, list(each.shape)] for each in metadata.outputs],
        "as_written": all(getattr(told, each) == getattr(written, each) for each in fields),
    }


def ask(client: grpc.InferenceServerClient, path: Path) -> None:
    inputs = []
    with np.load(path) as arrays:
        for name, array in arrays.items():
            tensor = grpc.InferInput(name, array.shape, np_to_triton_dtype(array.dtype))
            tensor.set_data_from_numpy(array)
            inputs.append(tensor)
    model = path.name.removesuffix(".npz").partition(",")[0]
    try:
        made = client.infer(model, inputs)
    except InferenceServerException as error:
        Path(f"{path.with_suffix('')}.refused.txt").write_text(str(error))
        return
    names = [each.name for each in made.get_response().outputs]
    np.savez(
        Path(f"{path.with_suffix('')}.made.npz"), **{name: made.as_numpy(name) for name in names}
    )


if __name__ == "__main__":
    main()
