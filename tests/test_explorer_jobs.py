"""The list of jobs on the explorer's page, and what it knows of searches of earlier days."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from browser_toys import with_chromium
from explorer_toys import Explored, Page, page
from graftscope.client import Client, InfluenceTask, JobState, ModulesTask
from graftscope.explorer._jobs import MOST, Jobs, until
from page_toys import CHIPS, Opened, behind, button
from server_toys import Stubs

LONG = 2**17
ROWS = "[...document.querySelectorAll('dialog[open] li')]"


@pytest.fixture(scope="module")
def client(toy_server: Stubs) -> Iterator[Client]:
    with Client(toy_server.address) as connected:
        yield connected


@pytest.fixture
def open_page(explorer: Explored) -> Iterator[Page]:
    with page(explorer) as opened:
        yield opened


def _row(rows: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(each for each in rows if each["name"] == name)


def test_jobs_are_told_the_newest_first_with_what_they_are_about(
    open_page: Page, client: Client
) -> None:
    influence = client.start(InfluenceTask("toy-blocks", "fc", pairs=96))
    client.wait(influence.name)
    modules = client.start(ModulesTask(influence.name, k=2))
    client.wait(modules.name)
    rows = open_page.answer(ask="jobs").said["jobs"]
    assert [each["name"] for each in rows] == [each.name for each in client.jobs(limit=MOST)]
    for job in (influence, modules):
        told = _row(rows, job.name)
        assert (told["kind"], told["state"]) == (str(job.kind), "done")
        assert (told["model"], told["layer"], told["pairs"]) == ("toy-blocks", "fc", 96)
        assert told["share"] == 1.0


def test_a_job_tells_of_itself_and_is_stopped(open_page: Page, client: Client) -> None:
    job = client.start(InfluenceTask("toy-vae", "deconv1", pairs=LONG))
    number = open_page.ask(ask="jobs")
    stop = 0
    while True:
        heard = open_page.hear().said
        if heard["id"] == number and not stop and not heard.get("job", {"done": True})["done"]:
            stop = open_page.ask(ask="stop_job", name=job.name)
        if heard.get("job", {}).get("state") == "cancelled":
            break
    # The list comes again once a job has ended.
    while "jobs" not in (heard := open_page.hear().said):
        pass
    assert _row(heard["jobs"], job.name)["state"] == "cancelled"
    assert client.job(job.name).progress.state is JobState.CANCELLED


def test_layers_that_were_searched_are_known_by_their_names(
    open_page: Page, client: Client
) -> None:
    client.influence("toy-blocks", "fc", pairs=160)
    told = open_page.answer(ask="searched", model="toy-blocks").said
    assert {"layer": "fc", "pairs": 160} in told["searched"]


class _Listing:
    """A client whose server has no jobs."""

    def __init__(self) -> None:
        self.listed = 0

    async def jobs(self, limit: int) -> tuple[()]:
        self.listed += 1
        return ()


async def test_new_jobs_are_looked_for_until_the_list_is_closed() -> None:
    listing: Any = _Listing()
    jobs = Jobs(listing, again_s=0.001)

    async def follow() -> None:
        async for _ in jobs.questions()["jobs"]({}):
            if listing.listed == 3:
                await anext(aiter(jobs.questions()["jobs_closed"]({})))

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(follow())
    assert listing.listed == 3


async def test_changes_are_waited_for_no_longer_than_that() -> None:
    changes: asyncio.Queue[Any] = asyncio.Queue()
    await changes.put(7)
    told: list[Any] = [each async for each in until(changes, 0.01)]
    assert told == [7]


@with_chromium
class TestPage:
    """By mouse and by keys."""

    def test_a_layer_that_was_searched_shows_its_modules_unasked(
        self, at: Opened, client: Client
    ) -> None:
        client.influence("toy-blocks", "fc", pairs=224)
        at.open(behind(pairs=224))
        at.tab.until(f"{CHIPS}.length === 2")
        assert "2 modules" in at.tab.value("document.querySelector('nav').innerText")
        assert not at.tab.value(f"Boolean({button('Find modules')})")

    def test_the_list_opens_by_key_and_shows_what_a_job_found(
        self, at: Opened, client: Client
    ) -> None:
        client.influence("toy-blocks", "fc", pairs=256)
        at.open(behind(model="toy-vae", layer="deconv1"))
        at.tab.key("l")
        at.tab.until(f"{ROWS}.length > 0")
        row = f"{ROWS}.find(each => each.innerText.includes('256 pairs') && "
        row += "each.innerText.includes('toy-blocks') && each.innerText.includes('Influence'))"
        at.tab.until(f"Boolean({row})")
        at.tab.value(f"{row}.querySelector('button').focus()")
        at.tab.key("Enter")
        at.tab.until("!document.querySelector('dialog[open]')")
        at.tab.until(f"{CHIPS}.length === 2 && document.body.innerText.includes('Found in 256')")
        assert at.tab.value("document.querySelector('.model select').value") == "toy-blocks"
        assert all(at.tab.names("button"))

    def test_a_job_that_was_stopped_is_gone_on_with_and_stopped_again(
        self, at: Opened, client: Client
    ) -> None:
        job = client.start(InfluenceTask("toy-blocks", "fc", pairs=LONG))
        client.cancel(job.name)
        for _ in client.watch(job.name):
            pass
        at.open(behind())
        at.tab.click(button("Jobs"))
        row = f"{ROWS}.find(each => each.innerText.includes('{LONG:,} pairs'))"
        at.tab.until(f"{row}?.innerText.includes('Go on')")
        at.tab.click(f"{row}.querySelector('button')")
        at.tab.until(f"document.body.innerText.includes('of {LONG:,} pairs')")
        assert not client.job(client.start(InfluenceTask("toy-blocks", "fc", pairs=LONG)).name).done
        at.tab.key("l")
        at.tab.until(f"{row}?.innerText.includes('Stop')")
        at.tab.click(f"{row}.querySelector('button')")
        at.tab.until(f"{row}?.innerText.includes('cancelled')")
        at.tab.click(button("Close"))
        at.tab.until("!document.querySelector('dialog[open]')")
        assert at.tab.value(f"Boolean({button('Go on')} ?? {button('Find modules')})")
