"""Facts about jobs by name and in lists: filters, a limit, and the beginnings of IDs."""

from typing import Any

import pytest

from _cli_shell import Shell
from _fake_server import Faults
from graftscope.client import JobKind, JobState
from graftscope.client.errors import InputError, NotFoundError

CLIENTS = ("sync", "async")


@pytest.fixture
def listed(shell: Shell) -> Shell:
    """A shell whose server has five jobs: three of influence, modules, and a magnitude."""
    for seed in range(3):
        shell("influence", "--pairs", 3, "--seed", seed)
    shell("magnitude", "--pairs", 3)
    shell("modules", "--pairs", 5)
    shell("jobs", "cancel", "2")
    return shell


@pytest.fixture
def named(shell: Shell, faults: Faults) -> Shell:
    """A shell whose server has three jobs, with IDs of their own."""
    faults.ids = ["3f2a90", "71aa", "72bb"]
    for seed in range(3):
        shell("influence", "--pairs", 3, "--seed", seed)
    return shell


def kinds(document: Any) -> list[str]:
    return [each["kind"] for each in document["jobs"]]


def test_jobs_are_listed_by_state_kind_and_model(listed: Shell) -> None:
    every = kinds(listed.json("jobs", "list"))
    assert sorted(set(every)) == ["influence", "magnitude", "modules"]
    some = listed.json("jobs", "list", "--kind", "magnitude,modules")
    assert sorted(kinds(some)) == ["magnitude", "modules"]
    (gone,) = listed.json("jobs", "list", "--job-state", "cancelled")["jobs"]
    assert gone["name"] == "operations/2"
    assert len(kinds(listed.json("jobs", "list", "--job-state", "done"))) == len(every) - 1
    of_toy = listed.json("jobs", "list", "--model", "toy")
    assert "modules" not in kinds(of_toy)  # They are of maps that were sent.
    assert listed.json("jobs", "list", "--model", "other")["jobs"] == []


def test_a_limit_ends_the_list_early(
    listed: Shell, server: tuple[str, Faults], faults: Faults
) -> None:
    faults.page_size = 2
    faults.calls.clear()
    assert len(listed.json("jobs", "list", "--limit", 2)["jobs"]) == 2
    assert faults.calls.count("ListOperations") == 1
    assert len(listed.json("jobs", "list", "--limit", 99, "--kind", "magnitude")["jobs"]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--job-state", "lost"), "--job-state 'lost' is unknown; there are: queued, running,"),
        (("--kind", "faces"), "--kind 'faces' is unknown; there are: influence, modules,"),
        (("--limit", 0), "--limit 0 is not allowed: it must be from 1"),
    ],
)
def test_a_filter_that_cannot_be_is_refused(
    shell: Shell, arguments: tuple[object, ...], message: str
) -> None:
    code, line = shell.refused("jobs", "list", *arguments)
    assert (code, message in line) == (4, True), line


def test_the_library_filters_too(client: Any) -> None:
    client.influence("toy", "conv1", pairs=3)
    client.magnitude("toy", pairs=3)
    (found,) = client.jobs(kinds=["magnitude"], states=[JobState.DONE])
    assert found.kind is JobKind.MAGNITUDE
    with pytest.raises(InputError, match="state 'lost' is unknown"):
        client.jobs(states=["lost"])


def test_the_beginning_of_an_id_names_a_job_everywhere(named: Shell) -> None:
    shell = named
    assert shell.json("jobs", "show", "3f2")["name"] == "operations/3f2a90"
    assert shell("jobs", "watch", "3f2")[0] == 0
    assert shell("jobs", "cancel", "3f2")[1] == "3f2a90 was done already\n"
    assert shell("jobs", "delete", "3f2")[1] == "3f2a90 is deleted\n"
    assert shell.refused("jobs", "show", "3f2")[0] == NotFoundError.exit_code


@pytest.mark.parametrize("verb", ["show", "watch", "cancel", "delete"])
def test_an_id_that_several_begin_with_is_refused_with_the_candidates(
    named: Shell, verb: str
) -> None:
    code, line = named.refused("jobs", verb, "7")
    assert code == InputError.exit_code
    assert "job '7' is the beginning of 2 IDs: 71aa, 72bb; give more of its characters" in line
    assert len(named.json("jobs", "list", "--job-state", "done")["jobs"]) == 3


def test_a_whole_id_is_named_though_others_begin_with_it(client: Any) -> None:
    for _ in range(11):
        client.magnitude("toy", pairs=3)
    assert client.job("1").name == "operations/1"
    assert client.job("operations/1").name == "operations/1"
    assert client.result("1").model == "toy"
