"""Facts about options that take lists, and about seeds: nothing that is given is dropped."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.core import TyperOption

from _cli_shell import Shell
from _fake_server import Faults
from graftscope.client.arrays import write_npz
from graftscope.client.cli._commands import command_of
from graftscope.client.cli._main import JOB_VERBS, TOKEN_VERBS, VERBS
from graftscope.v1 import analysis_service_pb2

LISTS = {
    *("--channels", "--k", "--layer", "--method", "--share"),
    *("--classifier", "--module", "--mean", "--deviation"),
    *("--job-state", "--kind"),  # of jobs
    *(
        "--clustering-seed",
        "--bundle",
        "--encoder-outputs",
        "--fix",
        "--input",
        "--intervene",
        "--set",
        "--shape",
    ),
    *("--maps", "--modules"),  # of a report
    "--strength",
    "--only",
    "--seed",  # of both originals, where a page begins
}
"""The options that may be given more than once, in one verb at least."""


def options() -> Iterator[tuple[str, TyperOption]]:
    """Every option of every verb, with the verb's name."""
    for name, verb in [*VERBS.items(), *JOB_VERBS.items(), *TOKEN_VERBS.items()]:
        for option in command_of(name, verb).params:
            if isinstance(option, TyperOption):
                yield name, option


def test_these_options_may_be_given_more_than_once() -> None:
    assert {option.opts[-1] for _, option in options() if option.multiple} == LISTS


def test_layers_are_named_with_one_option_everywhere() -> None:
    named = {option.opts[-1] for _, option in options() if "layer" in option.opts[-1]}
    assert named == {"--layer"}


def test_every_layer_option_takes_a_list() -> None:
    """A verb that works at one layer refuses the second itself, in whichever form it is given."""
    assert all(option.multiple for _, option in options() if option.opts[-1] == "--layer")


FORMS = [
    ("--layer", "conv1,conv2"),
    ("--layer", "conv1", "--layer", "conv2"),
]


@pytest.mark.parametrize("form", FORMS)
def test_both_forms_compute_every_layer(
    shell: Shell, server: tuple[str, Faults], form: tuple[str, ...]
) -> None:
    shell("influence", "--pairs", 3, *form)  # The fake server has no answer to several layers.
    assert list(asked(server, INFLUENCE).each_layer.layers) == ["conv1", "conv2"]
    assert shell.json("magnitude", "--pairs", 3, *form)["layers"] == ["conv1", "conv2"]
    # A layer of a report costs 600 hybrids, as the fake server estimates it.
    assert shell.json("report", "--dry-run", *form)["estimate"]["hybrids"] == 1200


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "verb",
    [
        ("modules",),
        ("stability",),
        ("find", "--region", "0,0,2,2"),
        ("hybridize", "--channels", 1),
    ],
    ids=lambda verb: str(verb[0]),
)
def test_a_verb_of_one_layer_refuses_two_in_either_form(
    shell: Shell, verb: tuple[object, ...], form: tuple[str, ...]
) -> None:
    code, line = shell.refused(*verb, *form)
    assert code == 2
    assert "--layer conv1,conv2: this verb works at one layer at a time" in line


@pytest.mark.parametrize(
    ("verb", "whole", "pieces"),
    [
        ("influence", ("--channels", "4,1,2"), ("--channels", 4, "--channels", "1,2")),
        ("influence", ("--share", "z,q"), ("--share", "z", "--share", "q")),
        ("stability", ("--k", "2-3,4"), ("--k", 2, "--k", "3-4")),
        ("stability", ("--method", "nmf,kmeans"), ("--method", "nmf", "--method", "kmeans")),
        ("magnitude", ("--k", "2,3"), ("--k", 2, "--k", 3)),
        (
            "modules",
            ("--clustering-seed", "5,6,7"),
            ("--clustering-seed", "5,6", "--clustering-seed", 7),
        ),
    ],
)
def test_pieces_are_the_list(
    shell: Shell,
    server: tuple[str, Faults],
    verb: str,
    whole: tuple[object, ...],
    pieces: tuple[object, ...],
) -> None:
    shell.json(verb, "--pairs", 3, *whole)
    in_one = list(server[1].asked)
    server[1].asked.clear()
    shell.json(verb, "--pairs", 3, *pieces)
    assert without_operations(server[1].asked) == without_operations(in_one)


def without_operations(requests: list[Any]) -> list[Any]:
    for request in requests:
        if hasattr(request, "request_id"):
            request.request_id = ""
    return requests


def asked(server: tuple[str, Faults], kind: type) -> Any:
    return next(each for each in server[1].asked if isinstance(each, kind))


INFLUENCE = analysis_service_pb2.InfluenceRequest
MODULES = analysis_service_pb2.ModulesRequest
STABILITY = analysis_service_pb2.StabilityRequest
MAGNITUDE = analysis_service_pb2.MagnitudeRequest


@pytest.mark.parametrize(
    ("said", "pairs", "grouping"),
    [
        ((), 0, [0]),
        (("--seed", 3), 3, [3]),
        (("--clustering-seed", "5,6"), 0, [5, 6]),
        (("--pairs-seed", 7), 7, [0]),
        (("--seed", 3, "--pairs-seed", 7), 7, [3]),
        (("--seed", 3, "--clustering-seed", 5), 3, [5]),
    ],
)
def test_a_seed_is_of_all_that_is_drawn_and_the_others_set_one_apart(
    shell: Shell,
    server: tuple[str, Faults],
    said: tuple[object, ...],
    pairs: int,
    grouping: list[int],
) -> None:
    shell.json("modules", "--pairs", 3, *said)
    assert asked(server, INFLUENCE).pairs.seed == pairs
    assert list(asked(server, MODULES).seeds) == grouping


def test_stability_and_magnitude_draw_with_the_seed_too(
    shell: Shell, server: tuple[str, Faults]
) -> None:
    shell.json("stability", "--pairs", 3, "--k", 2, "--seed", 3, "--cut-seed", 4)
    assert (asked(server, INFLUENCE).pairs.seed, asked(server, STABILITY).seed) == (3, 4)
    shell.json("magnitude", "--pairs", 3, "--seed", 5)
    found = asked(server, MAGNITUDE)
    assert (found.pairs.seed, found.seed) == (5, 5)


def test_a_seed_beside_maps_that_are_given_is_the_groupings(
    shell: Shell, server: tuple[str, Faults], tmp_path: Path
) -> None:
    maps = tmp_path / "maps.npz"
    shell.json("influence", "--pairs", 5, "--out", maps)
    shell.json("modules", "--maps", maps, "--seed", 9)
    assert list(asked(server, MODULES).seeds) == [9]
    code, line = shell.refused("find", "--maps", maps, "--region", "0,0,2,2", "--seed", 9)
    assert code == 2
    assert "--seed is of maps that are computed" in line


def test_a_value_that_is_the_default_is_refused_where_it_cannot_act(
    shell: Shell, tmp_path: Path
) -> None:
    maps = tmp_path / "maps.npz"
    write_npz(maps, {"maps": np.zeros((6, 4, 4))})
    code, line = shell.refused("modules", "--maps", maps, "--pairs", 1000)
    assert code == 2
    assert "--pairs is of maps that are computed" in line
