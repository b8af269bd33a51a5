"""Whatever is of another type is refused by its name, in a line of this library's own.

Every argument of every method of a client is given each of a list of odd values: what comes is an
answer, or a refusal of `graftscope.client.errors`.
"""

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from _fake_server import Faults, fake_server
from graftscope.client import (
    Add,
    AsyncClient,
    Blend,
    Client,
    Constant,
    Edit,
    ImageDonor,
    ImagePairs,
    Images,
    InfluenceResult,
    InfluenceTask,
    Intervention,
    LatentPairs,
    MagnitudeTask,
    Method,
    ModuleOf,
    ModulesTask,
    Rectangle,
    RelativeError,
    Scale,
    StabilityTask,
    StableLabels,
    StoredLatents,
    Swap,
    find_channels,
    read_mask,
    rectangle_region,
)
from graftscope.client.errors import GraftscopeError, InputError, UsageError

ODD: list[Any] = [3, -1, True, None, "x", 2.5, b"x", [], {}, [None], object()]
ODD += [np.zeros((2, 2)), float("nan")]
MAPS = np.ones((6, 8, 8))
LATENTS = {"z": np.zeros((1, 2), np.float32)}
IMAGES = np.zeros((1, 8, 8, 3), np.uint8)
SWAP = Intervention([Edit("conv1", [0])])
TASK = InfluenceTask("toy", "coarse", pairs=3)


@pytest.fixture(scope="module")
def served() -> Iterator[Client]:
    with fake_server(Faults()) as (address, _), Client(address) as client:
        yield client


@pytest.fixture(scope="module")
def done(served: Client) -> InfluenceResult:
    return served.influence("toy", "coarse", pairs=3)


METHODS: dict[str, dict[str, Any]] = {
    "model": {"name": "toy"},
    "generate": {"model": "toy"},
    "encode": {"model": "toy", "images": IMAGES},
    "hybridize": {"model": "toy", "layer": "coarse", "channels": [0]},
    "strip": {"model": "toy", "layer": "coarse", "channels": [0]},
    "influence": {"model": "toy", "layer": "coarse", "pairs": 3},
    "influence_layers": {"model": "toy", "layers": ["coarse"], "pairs": 3},
    "modules": {"maps": MAPS},
    "stability": {"maps": MAPS, "ks": [2], "repeats": 2, "methods": ["nmf"]},
    "magnitude": {"model": "toy", "pairs": 3, "ks": [2]},
    "start": {"task": TASK},
    "estimate": {"task": TASK},
}


def any_kind(make: Callable[..., Any], *given: Any) -> Any:
    """Make a value of what its types do not allow."""
    return make(*given)


def refused_or_done(call: Callable[..., Any], given: dict[str, Any]) -> str:
    """Run a call; what it refuses is said in one line of this library's own."""
    try:
        result = call(**given)
        if inspect.isgenerator(result):
            list(result)
    except GraftscopeError as error:
        told = str(error)
        assert told
        assert "\n" not in told
        assert "pydantic" not in told
        return told
    return ""


@pytest.mark.parametrize("method", METHODS)
def test_every_argument_of_a_method_is_refused_by_name_or_taken(
    method: str, served: Client
) -> None:
    call = getattr(served, method)
    for name in inspect.signature(call).parameters:
        for odd in ODD:
            refused_or_done(call, {**METHODS[method], name: odd})


@pytest.mark.parametrize("method", ["job", "watch", "wait", "result", "cancel", "delete"])
def test_what_is_no_name_of_a_job_is_refused(
    method: str, served: Client, done: InfluenceResult
) -> None:
    for odd in ODD:
        assert refused_or_done(getattr(served, method), {"name": odd})
    if method == "wait":
        given = {"name": done.operation, "on_progress": 3}
        assert refused_or_done(served.wait, given) == "on_progress 3 is not a function"


MADE: list[tuple[Callable[..., Any], dict[str, Any]]] = [
    (LatentPairs, {"latents1": LATENTS, "latents2": LATENTS}),
    (ImagePairs, {"images1": IMAGES, "images2": IMAGES}),
    (Images, {"images": IMAGES}),
    (Intervention, {"edits": [Edit("a", [0])]}),
    (Edit, {"layer": "a", "channels": [0]}),
    (ModuleOf, {"labels": np.array([0]), "index": 0}),
    (Rectangle, {"top": 0, "left": 0, "height": 1, "width": 1}),
    (Swap, {}),
    (Blend, {"weight": 1}),
    (Scale, {"factor": 1}),
    (Add, {"value": 1}),
    (Constant, {"value": 1}),
    (StoredLatents, {"latents": LATENTS}),
    (ImageDonor, {"image": IMAGES[0]}),
    (RelativeError, {"value": 0.1}),
    (StableLabels, {}),
    (InfluenceTask, {"model": "toy", "layer": "a"}),
    (ModulesTask, {"maps": MAPS}),
    (StabilityTask, {"maps": MAPS}),
    (MagnitudeTask, {"model": "toy"}),
    (
        find_channels,
        {"maps": MAPS, "region": rectangle_region(0, 0, 4, 8, image_height=8, image_width=8)},
    ),
    (
        rectangle_region,
        {"top": 0, "left": 0, "height": 4, "width": 8, "image_height": 8, "image_width": 8},
    ),
    (read_mask, {"path": "x"}),
    (Intervention.load, {"path": "x"}),
    (Intervention.from_json, {"text": "{}"}),
    (SWAP.save, {"path": "/nowhere/x.json"}),
    (SWAP.at_strength, {"strength": 0.5}),
    (InfluenceResult.load, {"path": "x"}),
]


@pytest.mark.parametrize(("make", "given"), MADE, ids=lambda each: getattr(each, "__name__", ""))
def test_every_value_is_refused_by_name_or_taken(
    make: Callable[..., Any], given: dict[str, Any], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in inspect.signature(make).parameters:
        for odd in ODD:
            refused_or_done(make, {**given, name: odd})


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize("name", ["address", "bundles", "workers", "device", "timeout_s"])
def test_what_is_no_setting_of_a_client_is_refused(kind: Any, name: str) -> None:
    given = {"address": "127.0.0.1:1"} if name == "timeout_s" else {}
    if kind is AsyncClient and name == "timeout_s":
        return  # It is read where the client is entered.
    for odd in (-3, b"x", {"a": 1}, object(), np.zeros((2, 2))):
        with pytest.raises(GraftscopeError) as refused:
            kind(**given, **{name: odd})
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda c: c.model(3), "model 3 is not a text"),
        (lambda c: c.wait(3), "name 3 is not a text"),
        (lambda c: c.generate("toy", fix=3), "fix 3 is not a dictionary by names"),
        (lambda c: c.generate("toy", fix={"z": "much"}), "fix 'z' of type <U4: input 'z' is of"),
        (lambda c: c.generate("toy", fix={"z": [[1], [2, 3]]}), "fix 'z' [[1], [2, 3]] is not an"),
        (lambda c: c.generate("toy", count=True), "count True is not an integer"),
        (lambda c: c.generate("toy", latents=3), "latents 3 is not a dictionary by names"),
        (lambda c: c.hybridize("toy", "coarse", 3), "channels 3 is not a list"),
        (lambda c: c.hybridize("toy", "coarse", [True]), "labels of 1 channels do not fit layer"),
        (
            lambda c: c.hybridize("toy", intervention="x.json", pairs=1),
            "intervention 'x.json' is of no known kind; allowed: Intervention(...), or"
            " Intervention.load(path), which reads a file",
        ),
        (lambda c: c.strip("toy", intervention="x"), "intervention 'x' is of no known kind; allo"),
        (lambda c: Client(""), "address '' is empty"),
        (lambda c: c.influence("toy", "coarse", products=1), "products 1 is neither True nor Fals"),
        (lambda c: c.influence("toy", "coarse", on_progress=3), "on_progress 3 is not a function"),
        (lambda c: c.encode("toy", 3), "images of shape () and type int64: they must be"),
        (lambda c: c.modules(MAPS, min_purity=True), "min_purity True is not a number"),
        (lambda c: c.modules(-MAPS), "maps: 384 of 384 values are negative"),
        (lambda c: c.stability(-MAPS), "maps: 384 of 384 values are negative"),
        (lambda c: find_channels(-MAPS, np.eye(8)), "maps: 384 of 384 values are negative"),
        (lambda c: any_kind(Intervention, 3), "edits 3 is not a list"),
        (lambda c: any_kind(LatentPairs, 3, 3), "latents1 3 is not a dictionary by names"),
        (lambda c: any_kind(Images, 3), "images of shape () and type int64"),
        (lambda c: Scale(True), "factor True is not a number"),
        (lambda c: any_kind(Client, 3), "address 3 is not a text"),
        (lambda c: SWAP.save("x.png"), "cannot write x.png: its name must end in .json"),
    ],
)
def test_a_refusal_names_the_argument_the_value_and_what_is_allowed(
    call: Callable[[Client], Any], words: str, served: Client
) -> None:
    with pytest.raises(InputError) as refused:
        call(served)
    assert words in str(refused.value)


def test_a_client_that_is_closed_says_so(served: Client, done: InfluenceResult) -> None:
    with Client(served.address) as client:
        pass
    calls: list[Callable[[], Any]] = [
        client.models,
        lambda: client.model("toy"),
        lambda: client.influence("toy", "coarse"),
        lambda: list(client.watch(done.operation)),
        client.jobs,
    ]
    for call in calls:
        with pytest.raises(UsageError, match="the client is closed: make a new one"):
            call()
    client.close()


def test_a_client_tells_whom_it_speaks_to(served: Client) -> None:
    assert repr(served) == f"<Client of {served.address}>"
    assert repr(AsyncClient(served.address)) == f"<AsyncClient of {served.address}>"


def test_no_repr_spills_arrays_or_manifests(served: Client) -> None:
    values = [
        LatentPairs({"z": np.zeros((64, 4))}, {"z": np.zeros((64, 4))}),
        Images(np.zeros((64, 8, 8, 3), np.uint8)),
        InfluenceTask("toy", "coarse", labels=np.zeros(1000, np.int64)),
        ModulesTask(MAPS),
    ]
    for value in values:
        assert len(repr(value)) < 500
        assert "array(" not in repr(value)
    assert re.fullmatch(
        r"Model\(toy@[0-9a-f]{12}, image 3 x 6 x 6, layers .*conv1.*\)", repr(served.model("toy"))
    )
    assert repr(values[0]) == "LatentPairs(latents1={'z': <float32 (64, 4)>}, latents2={'z': " + (
        "<float32 (64, 4)>})"
    )


def test_help_shows_types_by_their_public_names() -> None:
    for kind in (Client, AsyncClient):
        for name, method in inspect.getmembers(kind, inspect.isfunction):
            told = str(inspect.signature(method))
            assert "._" not in told, name
            assert "graftscope.client." not in told, name


@pytest.mark.parametrize("method", [method for method in Method if method is not Method.NMF])
def test_a_least_purity_that_cannot_act_is_refused(method: Method) -> None:
    with pytest.raises(UsageError, match=rf"min_purity 0\.5 does nothing with method {method}"):
        ModulesTask("operations/1", method=method, min_purity=0.5)
    assert ModulesTask("operations/1", min_purity=0.5).min_purity == 0.5
    assert ModulesTask("operations/1", method=method).min_purity == 0
