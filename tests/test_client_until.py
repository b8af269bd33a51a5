"""Facts about stopping rules on the client's side: what they are, what they ask, what is told."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from _cli_shell import Shell, arrays
from _fake_server import STOP_PAIRS, Faults
from graftscope.client import (
    Client,
    ConfidentLabels,
    InfluenceTask,
    Method,
    RelativeError,
    StableLabels,
    Stopping,
    Together,
    Until,
)
from graftscope.client.errors import InputError
from graftscope.client.values import told_stop
from graftscope.client.wire import Outbox, request_of
from graftscope.client.wire._operations import until_of
from graftscope.v1 import analysis_service_pb2

MAX = 40


def checked(rule: Until | str | None) -> Until | str | None:
    return InfluenceTask("toy", "conv1", until=rule).until


def over_the_wire(rule: Until | None) -> Until | None:
    task = InfluenceTask("toy", "conv1", until=rule)
    request = request_of(task, Outbox())
    assert isinstance(request, analysis_service_pb2.InfluenceRequest)
    return until_of(analysis_service_pb2.AnalysisMetadata(influence=request))


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("se=0.02", RelativeError(0.02)),
        ("se=5e-3", RelativeError(0.005)),
        ("se=0.02,together", Together(RelativeError(0.02))),
        ("labels", ConfidentLabels()),
        ("labels=0.9", ConfidentLabels(0.9)),
        ("labels=0.9,k=4,method=kmeans", ConfidentLabels(0.9, 4, Method.KMEANS)),
        ("labels=0.9, k=4, together", Together(ConfidentLabels(0.9, 4))),
        ("stable", StableLabels()),
        ("stable,k=4,method=kmeans", StableLabels(4, Method.KMEANS)),
        ("stable, seed=2, window=5, percentile=60.5", StableLabels(3, Method.NMF, 2, 5, 60.5)),
    ],
)
def test_rules_are_said_in_words(text: str, rule: Until) -> None:
    assert checked(text) == rule
    assert checked(str(rule)) == rule


@pytest.mark.parametrize(
    "text",
    [
        *("", "se", "se=", "se=two", "se=0.1,k=3", "stable=3", "stabel", "together"),
        *("labels=", "labels=sure", "labels=0.9,c=3", "stable,together", "se=0.1,together=1"),
    ],
)
def test_other_words_are_refused_with_those_that_are_rules(text: str) -> None:
    with pytest.raises(InputError, match=r"say labels=0\.95 .*; se=0\.02 .*; or stable"):
        checked(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("labels=0.95,k=3,k=4", "k"),
        ("labels=0.95,k=3, k=3", "k"),
        ("stable,seed=1,window=3,seed=2", "seed"),
        ("labels=0.95,together,together", "together"),
        ("se=0.02,together,together", "together"),
    ],
)
def test_a_setting_is_said_once(text: str, name: str) -> None:
    with pytest.raises(InputError, match=rf"until: '{text}' says {name} 2 times: say it once"):
        checked(text)


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        (lambda: RelativeError(0.0), "value 0 is not allowed: it must lie above 0 and below 1"),
        (lambda: RelativeError(1.0), "value 1 is not allowed"),
        (lambda: RelativeError(float("nan")), "must be finite"),
        (lambda: StableLabels(k=1), "k 1 is not allowed: it must be from 2"),
        (lambda: StableLabels(window=2), "window 2 is not allowed: it must be odd"),
        (lambda: StableLabels(percentile=100), "percentile 100 is not allowed"),
        (lambda: StableLabels(method="lda"), "method 'lda' is unknown; there are: nmf, kmeans"),  # type: ignore[arg-type]
        (lambda: StableLabels(seed=-1), "seed -1 is not allowed"),
        (lambda: checked(0.02), "until 0.02 is no stopping rule"),  # type: ignore[arg-type]
        (lambda: ConfidentLabels(0.5), "probability 0.5 is not allowed: it must lie above 0.5 and"),
        (lambda: checked("labels=1.5"), "until: probability 1.5 is not allowed: .* and below 1"),
        (lambda: checked("labels=0.9,k=1"), "until: k 1 is not allowed"),
        (lambda: Together(StableLabels()), "rule StableLabels.* RelativeError"),  # type: ignore[arg-type]
        (lambda: checked("stable,k=1"), "until: k 1 is not allowed: .* nothing to be sure of"),
        (lambda: StableLabels(k=1.5), "k 1.5 is not an integer"),  # type: ignore[arg-type]
    ],
)
def test_rules_out_of_range_are_refused(rule: Callable[[], Until], told: str) -> None:
    with pytest.raises(InputError, match=told):
        rule()


@pytest.mark.parametrize(
    "rule",
    [
        None,
        RelativeError(0.25),
        StableLabels(4, Method.SPECTRAL, 1, 5, 60),
        ConfidentLabels(0.75, 4, Method.KMEANS, 1, 5, 60),
        Together(RelativeError(0.25)),
        Together(ConfidentLabels(0.75)),
    ],
)
def test_rules_survive_the_wire(rule: Until | None) -> None:
    assert over_the_wire(rule) == rule


def test_no_rule_is_nothing_on_the_wire() -> None:
    request = request_of(InfluenceTask("toy", "conv1"), Outbox())
    assert not request.HasField("until")


def test_a_result_tells_what_came_of_its_rule(client: Client) -> None:
    found = client.influence("toy", "conv1", pairs=MAX, until="se=0.02")
    assert found.stopping is not None
    assert math.isnan(found.stopping.label_agreement)
    told = replace(found.stopping, label_agreement=0.0)
    assert told == Stopping(RelativeError(0.02), True, MAX, 0.0125, 0.0, 0.0)
    assert found.pairs == STOP_PAIRS
    assert client.influence("toy", "conv1", pairs=MAX).stopping is None


def test_a_job_tells_its_rule(client: Client) -> None:
    task = InfluenceTask("toy", "conv1", pairs=MAX, until=StableLabels(k=2))
    assert client.start(task).until == StableLabels(k=2)


def test_people_are_told_when_and_why_it_stopped(client: Client) -> None:
    told = told_stop(client.influence("toy", "conv1", pairs=MAX, until="se=0.02"))
    assert told == (
        f"stopped after 3 of at most {MAX} pairs: the largest relative standard error is 0.0125,"
        " 0.02 was asked for"
    )
    told = told_stop(client.influence("toy", "conv1", pairs=MAX, until="stable,k=2"))
    assert told == (
        f"stopped after 3 of at most {MAX} pairs: the labels of 2 modules (nmf) stayed the same"
        " over the last half of them; the largest relative standard error is 0.0125"
    )


def test_people_are_told_that_the_bound_came_first(client: Client) -> None:
    found = client.influence("toy", "conv1", pairs=MAX, until="se=0.005")
    assert told_stop(found).startswith(f"the bound of {MAX} pairs came first: the largest")
    labels = Stopping(StableLabels(k=2), False, MAX, 0.0125, 0.75)
    told = told_stop(replace(found, stopping=labels))
    assert "first: 75% of the labels of 2 modules (nmf) stayed the same" in told
    unknown = replace(found, stopping=replace(labels, label_agreement=float("nan")))
    assert "nan" not in told_stop(unknown)


def test_people_are_told_how_many_pairs_the_maps_had(client: Client) -> None:
    found = client.influence("toy", "conv1", pairs=MAX, until="se=0.02")
    channels = len(found.maps)
    stopped = replace(found, pairs_of=np.array([2] * (channels - 1) + [MAX]))
    assert told_stop(stopped).endswith(
        f"0.02 was asked for; channels had 2 pairs (median), the most {MAX}"
    )
    sure = Stopping(ConfidentLabels(0.9), False, MAX, 0.0125, math.nan, 0.625, channels - 2)
    told = f"{channels - 2} of {channels} labels are sure (0.9, 3 modules by nmf) after "
    assert told_stop(replace(stopped, stopping=sure)) == (
        f"{told}2 to {MAX} pairs a channel (median 2)"
    )
    as_one = replace(found, stopping=sure, stratified=True)
    assert told_stop(as_one) == f"{told}{STOP_PAIRS} stratified pairs"
    none = replace(sure, label_probability=math.nan)
    assert "no channel has a label" in told_stop(replace(stopped, stopping=none))


def test_flat_maps_are_said_to_be_left_out(client: Client) -> None:
    found = client.influence("toy", "conv1", pairs=MAX, until="se=0.02")
    flat = np.where(np.arange(len(found.individual)) < 2, 0.0, found.individual)
    assert "(2 without influence left out)" in told_stop(replace(found, individual=flat))
    none = replace(found, individual=0 * flat)
    assert "no map has any influence" in told_stop(none)
    channels = len(flat)
    sure = Stopping(ConfidentLabels(), True, MAX, 0.0125, math.nan, 0.97, channels)
    told = told_stop(replace(found, individual=flat, stopping=sure))
    assert told.startswith(f"{channels - 2} of {channels - 2} labels are sure")
    assert told.endswith("; 2 without influence left out")


def test_the_verb_stops_early_and_says_so(shell: Shell, tmp_path: Path) -> None:
    out = tmp_path / "maps.npz"
    options = ("--pairs", MAX, "--until", "se=0.02", "--out", out)
    code, told, err = shell("influence", *options)
    assert code == 0
    assert "3 pairs (encoded)" in told
    assert f"stopped after 3 of at most {MAX} pairs: " in err
    assert err.startswith("at most 600 hybrids") or "goes on from" in err
    assert "maps" in arrays(out)
    document = shell.json("influence", *options)
    assert document["pairs"] == 3
    assert document["stopping"] == {
        "until": "se=0.02",
        "met": True,
        "max_pairs": MAX,
        "relative_standard_error": 0.0125,
        "label_agreement": None,
        "label_probability": 0.0,
        "settled": 0,
    }
    assert shell.json("influence", "--pairs", 5)["stopping"] is None


def test_a_dry_run_tells_the_most(shell: Shell) -> None:
    document = shell.json("influence", "--until", "stable", "--dry-run")
    assert document["until"] == "stable,k=3,method=nmf"
    assert shell("influence", "--until", "stable", "--dry-run")[2].startswith("at most 600 hybrids")


def test_jobs_tell_the_rule_and_that_the_total_is_a_maximum(shell: Shell) -> None:
    shell.json("influence", "--pairs", MAX, "--until", "se=0.02")
    (job,) = shell.json("jobs", "list")["jobs"]
    assert job["until"] == "se=0.02"
    shown = shell("jobs", "show", job["name"])[1]
    assert "2 of at most 2 shards" in shown
    assert "until     se=0.02" in shown


@pytest.mark.parametrize(
    ("verb", "expected"),
    [
        (
            ("modules", "--k", 2, "--method", "kmeans", "--clustering-seed", "4,5"),
            (2, Method.KMEANS, 4),
        ),
        (("stability", "--k", 2), (3, Method.NMF, 0)),
    ],
)
def test_verbs_that_compute_maps_watch_the_modules_that_they_are_about_to_find(
    shell: Shell,
    server: tuple[str, Faults],
    verb: tuple[object, ...],
    expected: tuple[int, Method, int],
) -> None:
    shell.json(*verb, "--pairs", 5, "--until", "stable", "--window", 5)
    asked = server[1].asked[0]
    assert isinstance(asked, analysis_service_pb2.InfluenceRequest)
    rule = until_of(analysis_service_pb2.AnalysisMetadata(influence=asked))
    assert rule == StableLabels(*expected, window=5)


def test_a_rule_is_no_use_to_maps_that_are_there(shell: Shell, tmp_path: Path) -> None:
    maps = tmp_path / "maps.npz"
    shell.json("influence", "--pairs", 5, "--out", maps)
    for verb in (("modules",), ("stability",), ("find", "--region", "0,0,2,2")):
        code, err = shell.refused(*verb, "--maps", maps, "--until", "stable")
        assert code == 2
        assert "leave out --maps, or it" in err


def test_a_wrong_rule_is_one_line(shell: Shell) -> None:
    code, err = shell.refused("influence", "--until", "se=2")
    assert code == 4
    assert "--until: value 2 is not allowed: it must lie above 0 and below 1" in err
