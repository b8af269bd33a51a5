"""How the reader of a report, and whoever saw the demo, gets to the explorer."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from graftscope.client import Client
from graftscope.client.cli._by_hand import Explorer, by_hand, explorer_words
from graftscope.client.cli._shared_options import ServerOptions
from graftscope.client.errors import InputError
from page_toys import state_behind
from server_toys import Stubs

MODEL = "toy-blocks"


def test_a_report_names_its_server_and_links_to_the_layer_without_a_token(
    toy_server: Stubs,
) -> None:
    sections = [SimpleNamespace(layer="fc", modules=2), SimpleNamespace(layer="z", modules=11)]
    options = ServerOptions(server=toy_server.address, ca=Path("my certificates/ca.pem"))
    page = Explorer("https://lab.example:8642/?token=secret#2.old")
    with Client(toy_server.address) as client:
        model = client.model(MODEL)
        ways = by_hand(client, options, model, sections, page)  # type: ignore[arg-type]
        plain = by_hand(client, options, model, sections, Explorer(None))  # type: ignore[arg-type]
    assert ways["fc"].command == (
        f"graftscope explore --model {MODEL} --layer fc --server {toy_server.address} "
        "--ca 'my certificates/ca.pem'"
    )
    assert ways["fc"].hybridize == (
        f"graftscope hybridize --model {MODEL} --server {toy_server.address} "
        "--ca 'my certificates/ca.pem'"
    )
    address, _, behind = ways["fc"].link.partition("#")
    assert address == "https://lab.example:8642/"
    state = state_behind(behind)
    assert (state["model"], state["layer"], state["k"]) == (MODEL, "fc", 2)
    assert state["asked"] == ["fc"]
    # The page divides a layer into ten modules at most.
    assert state_behind(ways["z"].link.partition("#")[2])["asked"] == []
    assert [each.link for each in plain.values()] == ["", ""]


@pytest.mark.parametrize("address", ["lab.example:8642", "ftp://lab", "https:///", ""])
def test_what_is_no_address_of_a_page_is_refused(address: str) -> None:
    with pytest.raises(InputError, match="is no address of a web page"):
        Explorer(address)


def test_the_demo_says_how_the_explorer_is_opened_or_installed() -> None:
    installed, missing = explorer_words(lambda _: object()), explorer_words(lambda _: None)
    assert installed.endswith(" explore --open")
    assert "pip install" not in installed
    assert "-m pip install 'graftscope[explore]' && " in missing
    assert missing.endswith(" explore --open")
