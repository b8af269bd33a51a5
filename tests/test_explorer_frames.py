"""The explorer in a notebook: a frame that a client opens, and what it begins with."""

import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from browser_toys import browser, with_chromium
from graftscope.client import Blend, Client, Edit, Intervention, LatentPairs, ModuleOf
from graftscope.client.errors import InputError, NotFoundError, UsageError
from graftscope.client.interventions import Add, Constant, Rectangle, StoredLatents, Swap
from graftscope.explorer import saved_state
from page_toys import DESK, LEFT, SHOWN, STEPS, behind, state_behind
from server_toys import Stubs

BLOCKS = "toy-blocks"
LAYER = "fc"
LABELS = np.array([0, 0, 1, 1])


@pytest.fixture(scope="module")
def client(toy_server: Stubs) -> Iterator[Client]:
    with Client(toy_server.address) as opened:
        yield opened


def key_of(address: str) -> str:
    return urlsplit(address).fragment.removeprefix("key=").partition("&")[0]


def state_of(address: str) -> dict[str, Any]:
    """What an address holds, read as the page does."""
    return state_behind(urlsplit(address).fragment.rpartition("&")[2])


@contextmanager
def connected(address: str, *protocols: str, origin: str = "") -> Iterator[ClientConnection]:
    host = urlsplit(address).netloc
    with connect(
        f"ws://{host}/live",
        subprotocols=[Subprotocol(each) for each in protocols] or None,
        origin=Origin(origin or f"http://{host}"),
    ) as socket:
        yield socket


def got(address: str, path: str, **headers: str) -> tuple[int, dict[str, str]]:
    with closing(HTTPConnection(urlsplit(address).netloc, timeout=10)) as connection:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        response.read()
        return response.status, dict(response.getheaders())


# Who is let in.


def test_the_key_of_a_frame_opens_it_and_nothing_else_does(client: Client) -> None:
    frame = client.open_explorer()
    key = key_of(frame.address)
    with connected(frame.address, "graftscope", f"key.{key}") as socket:
        assert socket.subprotocol == "graftscope"
        socket.send('{"id": 1, "ask": "models"}')
        assert json.loads(socket.recv())["models"]
    for protocols, origin in (
        ((), ""),
        (("graftscope",), ""),
        (("graftscope", "key."), ""),
        (("graftscope", "key.guessed"), ""),
        (("graftscope", f"key.{key}"), "http://localhost:8888"),
    ):
        with (
            pytest.raises(InvalidStatus) as refused,
            connected(frame.address, *protocols, origin=origin),
        ):
            pass
        assert refused.value.response.status_code == 403
    assert got(frame.address, "/who", Authorization=f"Bearer {key}")[0] == 200
    assert got(frame.address, "/who")[0] == 403
    frame.close()


def test_the_files_are_for_notebooks_of_this_machine(client: Client) -> None:
    frame = client.open_explorer()
    status, headers = got(frame.address, "/")
    assert status == 200
    policy = headers["content-security-policy"]
    assert "frame-ancestors http://localhost:* http://127.0.0.1:* https://localhost:*" in policy
    assert "set-cookie" not in headers
    assert got(frame.address, "/", Host="rebound.example")[0] == 403
    assert got(frame.address, "/", Origin="https://elsewhere.example")[0] == 403
    frame.close()


def test_a_frame_that_is_closed_ends_alone_and_the_last_one_frees_the_port(client: Client) -> None:
    first, second = client.open_explorer(), client.open_explorer()
    assert urlsplit(first.address).netloc == urlsplit(second.address).netloc
    keys = [("graftscope", f"key.{key_of(each.address)}") for each in (first, second)]
    with connected(first.address, *keys[0]) as gone, connected(second.address, *keys[1]) as stays:
        first.close()
        with pytest.raises(ConnectionClosed):
            gone.recv()
        stays.send('{"id": 1, "ask": "models"}')
        assert json.loads(stays.recv())["models"]
    second.close()
    with pytest.raises(ConnectionRefusedError), connected(second.address, *keys[1]):
        pass


def test_behind_a_proxy_its_name_and_its_notebooks_are_known(client: Client) -> None:
    frame = client.open_explorer(through="https://hub.example/user/me/proxy/{port}/")
    address = urlsplit(frame.address)
    assert address.netloc == "hub.example"
    port = address.path.split("/")[-2]
    assert address.path == f"/user/me/proxy/{port}/"
    here = f"http://127.0.0.1:{port}"
    asked = {"Host": "hub.example", "Origin": "https://hub.example"}
    status, headers = got(here, "/", **asked)
    assert status == 200
    assert headers["content-security-policy"].endswith(" https://hub.example")
    assert got(here, "/", Host="hub.example", Origin="https://other.example")[0] == 403
    frame.close()
    with pytest.raises(InputError, match="is no address of a web page"):
        client.open_explorer(through="hub.example")


def test_a_client_that_is_closed_takes_its_frames_along(toy_server: Stubs) -> None:
    with Client(toy_server.address) as short:
        frame = short.open_explorer()
    with pytest.raises(ConnectionRefusedError):
        got(frame.address, "/")
    frame.close()


# What it begins with.


def test_what_is_grafted_becomes_steps_with_modules_and_weights(client: Client) -> None:
    graft = Intervention(
        [
            Edit(LAYER, module=ModuleOf(LABELS, 1), action=Blend(0.5)),
            Edit(LAYER, [0, 1]),
        ]
    )
    frame = client.open_explorer(BLOCKS, LAYER, intervention=graft, seeds=(41, 12))
    frame.close()
    state = state_of(frame.address)
    assert (state["model"], state["layer"]) == (BLOCKS, LAYER)
    assert [each["seed"] for each in state["originals"]] == [41, 12]
    assert state["steps"] == [
        {"layer": LAYER, "weight": 0.5, "on": True, "channels": [2, 3], "module": 1, "k": 2},
        {
            **{"layer": LAYER, "weight": 1.0, "on": True, "channels": [0, 1]},
            **{"module": None, "name": "channels 0, 1"},
        },
    ]


def test_modules_open_where_they_were_found(client: Client) -> None:
    maps = client.influence(BLOCKS, LAYER, pairs=64)
    frame = client.open_explorer(modules=client.modules(maps, k=2))
    frame.close()
    state = state_of(frame.address)
    assert (state["model"], state["layer"], state["k"]) == (BLOCKS, LAYER, 2)
    assert state["asked"] == [LAYER]


def test_without_a_word_the_page_begins_as_ever(client: Client) -> None:
    frame = client.open_explorer()
    frame.close()
    assert state_of(frame.address)["model"] == ""
    assert frame._repr_html_().startswith(f'<iframe src="{frame.address.replace("&", "&amp;")}"')
    assert repr(frame) == f"<Frame of {frame.address}>"


NOT_SHOWN = {
    "a mask": (Edit(LAYER, [0], mask=Rectangle(0, 0, 1, 1)), "whole channels, without masks"),
    "a constant": (Edit(LAYER, [0], action=Constant(0)), "and not by Constant"),
    "a sum": (Edit(LAYER, [0], action=Add(1)), "and not by Add"),
    "a weight too large": (Edit(LAYER, [0], action=Blend(3)), "weights are from -1 to 2 there"),
    "another donor": (
        Edit(LAYER, [0], action=Swap(StoredLatents({"z": np.zeros((1, 4), np.float32)}))),
        "not by Swap from a donor of its own",
    ),
}


@pytest.mark.parametrize(("edit", "words"), NOT_SHOWN.values(), ids=NOT_SHOWN)
def test_what_the_page_does_not_have_is_refused_with_what_it_has(
    client: Client, edit: Edit, words: str
) -> None:
    with pytest.raises(InputError, match="the explorer's page cannot show the edit of") as refused:
        client.open_explorer(BLOCKS, intervention=Intervention([edit]))
    assert words in str(refused.value)


def test_what_does_not_go_together_is_refused(client: Client) -> None:
    pair = LatentPairs(client.generate(BLOCKS, count=2, seed=1).latents)
    with pytest.raises(UsageError, match="say which model"):
        client.open_explorer(layer=LAYER)
    with pytest.raises(UsageError, match="by seeds or by latents"):
        client.open_explorer(BLOCKS, seeds=(1, 2), originals=pair)
    with pytest.raises(InputError, match="hold 2 samples; the page shows one pair"):
        client.open_explorer(BLOCKS, originals=pair)
    with pytest.raises(InputError, match="seed"):
        client.open_explorer(BLOCKS, seeds=(-1, 2))
    with pytest.raises(InputError, match="layer 'gone' is not in model"):
        client.open_explorer(BLOCKS, "gone")
    with pytest.raises(InputError, match="height"):
        client.open_explorer(height=0)


def test_saved_pictures_and_grafts_say_what_they_were_made_of(tmp_path: Path) -> None:
    text = behind(steps=[LEFT])
    held = PngInfo()
    held.add_text("Comment", "something else")
    held.add_text("graftscope", text)
    Image.new("L", (3, 3)).save(tmp_path / "saved.png", pnginfo=held)
    assert saved_state(tmp_path / "saved.png") == text
    (tmp_path / "graft.json").write_text(json.dumps({"edits": [], "explorer": text}))
    assert saved_state(tmp_path / "graft.json") == text
    Image.new("L", (3, 3)).save(tmp_path / "other.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "saved.png").read_bytes()[:60])
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "bad.json").write_text(json.dumps({"explorer": "#2.%%%"}))
    for name in ("other.png", "cut.png", "list.json", "bad.json"):
        with pytest.raises(InputError, match="does not say what it was made of"):
            saved_state(tmp_path / name)
    with pytest.raises(NotFoundError, match="is not there"):
        saved_state(tmp_path / "gone.png")


# In a browser.


@contextmanager
def notebook(html: str) -> Iterator[str]:
    """A page on a port of its own, as a notebook is."""

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://localhost:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


@with_chromium
def test_a_frame_shows_the_hybrid_of_python_and_its_address_holds_it(
    client: Client, tmp_path: Path
) -> None:
    graft = Intervention(
        [
            Edit(LAYER, module=ModuleOf(LABELS, 0), action=Blend(0.5)),
            Edit(LAYER, [3], action=Blend(-0.25)),
        ]
    )
    one, two = (client.generate(BLOCKS, count=1, seed=seed).latents for seed in (41, 12))
    pair = LatentPairs(one, two)
    frame = client.open_explorer(BLOCKS, LAYER, intervention=graft, originals=pair)
    expected = client.explore(BLOCKS, originals=pair, eight_bits=True)
    with (
        expected as session,
        notebook(frame._repr_html_()) as address,
        browser(tmp_path) as tab,
    ):
        shown = session.show(graft)
        assert shown is not None
        assert shown.hybrid is not None
        tab.open(address, DESK)
        framed = tab.page.frames[1]
        framed.locator(".hybrid canvas").wait_for()
        looked = (
            "new Promise(resolve => {const look = () => {const canvas = document.querySelector("
            f"'.hybrid canvas'); if (!{SHOWN}) return setTimeout(look, 20); resolve({{"
            "width: canvas.width, data: [...canvas.getContext('2d').getImageData(0, 0, "
            "canvas.width, canvas.height).data]})}; look()})"
        )
        found = framed.evaluate(looked)
        colours = np.array(found["data"], np.uint8).reshape(-1, found["width"], 4)[..., :3]
        np.testing.assert_array_equal(colours, np.broadcast_to(shown.hybrid[0], colours.shape))
        # The page has taken the key away, and writes the state that Python wrote, in which what
        # Python does not know is nothing.
        framed.evaluate("new Promise(resolve => setTimeout(resolve, 400))")
        assert "key=" not in framed.url
        told, written = state_of(framed.url), state_of(frame.address)
        assert {name: told[name] for name in written} == written
        assert all(told[name] is None for name in told.keys() - written.keys())
        # A reload knows the key still.
        framed.evaluate("location.reload()")
        tab.page.wait_for_timeout(0)
        tab.page.frames[1].locator(".hybrid canvas").wait_for()
        assert tab.page.frames[1].evaluate(f"{STEPS}.length") == 2
        frame.close()
        tab.page.frames[1].get_by_text("The explorer behind this frame has ended").wait_for()
