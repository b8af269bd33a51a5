"""What Triton's own client asks of a server, beside Graftscope's client in the same process.

    python triton_asks.py ADDRESS PAGE            # of a server that asks nobody
    python triton_asks.py ADDRESS PAGE CA TOKEN   # of one with TLS and tokens

It runs in an environment of its own, and prints as JSON what came of each check: nothing where it
holds, else the traceback. The server has the bundles that ship with the package.
"""

import asyncio
import json
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from google.protobuf import text_format
from numpy.typing import NDArray

import graftscope.client as graftscope
from graftscope.inference.v2 import inference_service_pb2 as messages

MODEL, LAYER, LEVEL = "vae-celeba", "deconv1", "intermediate"
PAIRS = 4
DATATYPES = {"float32": "FP32", "bool": "BOOL"}
RANDOM = np.random.default_rng(0)
Z1, Z2 = RANDOM.standard_normal((2, PAIRS, 128)).astype(np.float32)
CHANNELS = tuple(range(0, 64, 3))
SETS = np.isin(np.arange(64), CHANNELS)[np.newaxis]
PAIR = {"z1": Z1, "z2": Z2, "channels": SETS}


@dataclass
class Asked:
    """Both clients of one server."""

    address: str
    page: Path
    ca: str | None = None
    token: str | None = None

    @property
    def options(self) -> dict[str, Any]:
        return {"ssl": True, "root_certificates": self.ca} if self.ca else {}

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"} if self.token else {}

    def theirs(self) -> triton.InferenceServerClient:
        return triton.InferenceServerClient(self.address, **self.options)

    def ours(self) -> graftscope.Client:
        tls = graftscope.TLS(ca=self.ca) if self.ca else None
        return graftscope.Client(self.address, token=self.token, tls=tls)

    def infer(self, name: str, given: Mapping[str, NDArray[Any]], **options: Any) -> Any:
        with self.theirs() as client:
            return client.infer(name, inputs_of(given), headers=self.headers, **options)


def inputs_of(given: Mapping[str, NDArray[Any]], kind: Any = triton.InferInput) -> list[Any]:
    inputs = [kind(name, x.shape, DATATYPES[str(x.dtype)]) for name, x in given.items()]
    for each, array in zip(inputs, given.values(), strict=True):
        each.set_data_from_numpy(array)
    return inputs


def metadata(on: Asked) -> None:
    with on.theirs() as client:
        assert client.is_server_live(headers=on.headers)
        assert client.is_server_ready(headers=on.headers)
        server = client.get_server_metadata(headers=on.headers)
        assert server.name == "graftscope"
        for part in ("", *(f".{LAYER}.{x}" for x in ("upstream", "downstream", "hybrid"))):
            told = client.get_model_metadata(MODEL + part, headers=on.headers)
            (version,) = told.versions
            assert client.is_model_ready(MODEL + part, version, headers=on.headers)
            assert not client.is_model_ready(MODEL + part, "1", headers=on.headers)
        takes = [(x.name, x.datatype, list(x.shape)) for x in told.inputs]
        latents = [(name, "FP32", [-1, 128]) for name in ("z1", "z2")]
        assert takes == [*latents, ("channels", "BOOL", [-1, 64])], takes
        gives = [(x.name, x.datatype, list(x.shape)) for x in told.outputs]
        names = ("hybrid", "original1", "original2")
        assert gives == [(name, "FP32", [-1, 3, 64, 64]) for name in names], gives


def a_model(on: Asked) -> None:
    with on.ours() as client:
        expected = client.generate(MODEL, latents={"z": Z1}).images
    made = on.infer(MODEL, {"z": Z1}, request_id="call 7")
    np.testing.assert_array_equal(made.as_numpy("image"), expected)
    assert made.get_response().id == "call 7"


def hybrids(on: Asked) -> None:
    with on.ours() as client:
        pairs = graftscope.LatentPairs({"z": Z1}, {"z": Z2})
        expected = client.hybridize(MODEL, LEVEL, CHANNELS, originals=pairs)
    made = on.infer(f"{MODEL}.{LEVEL}.hybrid", PAIR)
    for name in ("hybrid", "original1", "original2"):
        np.testing.assert_array_equal(made.as_numpy(name), getattr(expected, name))


def halves(on: Asked) -> None:
    above, donors = (on.infer(f"{MODEL}.{LAYER}.upstream", {"z": z}) for z in (Z1, Z2))
    names = [x.name for x in above.get_response().outputs]
    first, second = ({name: x.as_numpy(name) for name in names} for x in (above, donors))
    with on.ours() as client:
        samples = client.generate(MODEL, latents={"z": Z1}).images
        pairs = graftscope.LatentPairs({"z": Z1}, {"z": Z2})
        expected = client.hybridize(MODEL, LAYER, CHANNELS, originals=pairs).hybrid
    whole = on.infer(f"{MODEL}.{LAYER}.downstream", first).as_numpy("image")
    np.testing.assert_array_equal(whole, samples)
    spliced = {
        **first,
        names[0]: np.where(SETS[:, :, None, None], second[names[0]], first[names[0]]),
    }
    made = on.infer(f"{MODEL}.{LAYER}.downstream", spliced).as_numpy("image")
    np.testing.assert_array_equal(made, expected)


def some_outputs(on: Asked) -> None:
    asked = [triton.InferRequestedOutput("original2"), triton.InferRequestedOutput("hybrid")]
    made = on.infer(f"{MODEL}.{LAYER}.hybrid", PAIR, outputs=asked)
    assert [x.name for x in made.get_response().outputs] == ["original2", "hybrid"]


def without_waiting(on: Asked) -> None:
    async def made() -> NDArray[Any]:
        async with triton_aio.InferenceServerClient(on.address, **on.options) as client:
            given = inputs_of({"z": Z1})
            result = await client.infer(MODEL, given, headers=on.headers)
            images: NDArray[Any] = result.as_numpy("image")
            return images

    np.testing.assert_array_equal(asyncio.run(made()), on.infer(MODEL, {"z": Z1}).as_numpy("image"))


def mistakes(on: Asked) -> None:
    assert_fails("NOT_FOUND", "NAME is one of: ", lambda: on.infer("nobody", {"z": Z1}))
    assert_fails("NOT_FOUND", "has version", lambda: on.infer(MODEL, {"z": Z1}, model_version="1"))
    assert_fails(
        "INVALID_ARGUMENT",
        r"input 'z' is FP32 \[4, 127\]; FP32 \[-1, 128\] is needed",
        lambda: on.infer(MODEL, {"z": Z1[:, 1:]}),
    )
    assert_fails(
        "INVALID_ARGUMENT",
        "parameter 'priority' of the request is not known",
        lambda: on.infer(MODEL, {"z": Z1}, priority=1),
    )


def deadlines(on: Asked) -> None:
    many = np.zeros((5_000, 128), np.float32)
    assert_fails("DEADLINE_EXCEEDED", "", lambda: on.infer(MODEL, {"z": many}, client_timeout=0.05))
    on.infer(MODEL, {"z": Z1}, client_timeout=60.0)


def callers(on: Asked) -> None:
    """Who shows no token is asked for one."""
    if on.token is None:
        return
    known, on.token = on.token, None
    try:
        assert_fails("UNAUTHENTICATED", "token", lambda: on.infer(MODEL, {"z": Z1}))
    finally:
        on.token = known


def the_page(on: Asked) -> None:
    """The example of docs/wire.md."""
    if on.token is not None:
        return
    blocks = re.findall(r"^```python\n(.*?)^```$", on.page.read_text("utf-8"), re.M | re.S)
    (example,) = (block for block in blocks if "tritonclient" in block)
    found: dict[str, Any] = {}
    exec(example.replace("127.0.0.1:50051", on.address), found)
    assert found["hybrids"].shape == (2, 3, 64, 64)
    with on.ours() as client:
        pairs = graftscope.LatentPairs(*({"z": found["given"][x]} for x in ("z1", "z2")))
        expected = client.hybridize(MODEL, LEVEL, range(32), originals=pairs).hybrid
    np.testing.assert_array_equal(found["hybrids"], expected)


def same_on_the_wire(on: Asked) -> None:
    """Our messages stand beside theirs in one process, and are read as theirs."""
    result = on.infer(f"{MODEL}.{LAYER}.hybrid", PAIR, request_id="call 7").get_response()
    with on.theirs() as client:
        described = client.get_model_metadata(f"{MODEL}.{LAYER}.hybrid", headers=on.headers)
    for theirs in (result, described):
        theirs.DiscardUnknownFields()  # Triton's has no properties.
        kind = getattr(messages, type(theirs).__name__)
        ours = kind.FromString(theirs.SerializeToString())
        again = type(theirs).FromString(ours.SerializeToString())
        assert again == theirs
        assert text_format.MessageToString(ours) == text_format.MessageToString(theirs)


def assert_fails(status: str, message: str, call: Callable[[], object]) -> None:
    failed: Any = None
    try:
        call()
    except triton.InferenceServerException as error:
        failed = error
    assert failed is not None, f"no {status}"
    assert failed.status() == f"StatusCode.{status}", failed
    assert re.search(message, failed.message()), failed


CHECKS = (
    *(metadata, a_model, hybrids, halves, some_outputs, without_waiting, mistakes, deadlines),
    *(callers, same_on_the_wire, the_page),
)


def main(address: str, page: str, *protection: str) -> None:
    on = Asked(address, Path(page), *protection)
    told = dict.fromkeys((check.__name__ for check in CHECKS), "")
    for check in CHECKS:
        try:
            check(on)
        except Exception:
            told[check.__name__] = traceback.format_exc()
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
