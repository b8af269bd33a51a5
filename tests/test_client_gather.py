"""Facts about what a report is made of, and the verb that writes it."""

import webbrowser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from _fake_model import CHANNELS, DIGEST, SIDE
from _fake_server import Faults
from graftscope.client import (
    AnalysisResult,
    Client,
    ConfidentLabels,
    ImageFormat,
    InfluenceTask,
    LatentPairs,
    Model,
    Precision,
)
from graftscope.client.cli import run
from graftscope.client.cli._report_contents import ReportPlan, default_layers, gather
from graftscope.client.errors import UsageError
from graftscope.client.report import LayerSection
from graftscope.client.values import Job, Task
from graftscope.v1 import analysis_service_pb2

INFLUENCE = analysis_service_pb2.InfluenceRequest
MODULES = analysis_service_pb2.ModulesRequest
STABILITY = analysis_service_pb2.StabilityRequest


def planned(
    *layers: str, samples: int = 24, k: int = 3, shown_pairs: int = 8, **maps: Any
) -> ReportPlan:
    asked = InfluenceTask("toy", layers[0], **maps)
    return ReportPlan(layers, asked, k=k, samples=samples, shown_pairs=shown_pairs)


class Analyst:
    """Computes without showing anything."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def begin(self, task: Task) -> Job:
        return self._client.start(task)

    def result(self, job: Job) -> AnalysisResult:
        return self._client.wait(job.name)


def test_a_report_holds_every_layers_maps_modules_and_hybrids(client: Client) -> None:
    steps: list[str] = []
    plan = planned("coarse", "conv2", pairs=20, samples=5, shown_pairs=4)
    data = gather(client, client.model("toy"), plan, Analyst(client), steps.append)
    assert (data.model, data.digest, data.originals) == ("toy", DIGEST, "encoded")
    assert set(data.pairs_of.tolist()) == {20}
    assert (data.precision, data.image_range) == ("float32", (-1.0, 1.0))
    assert (data.provenance.recipe, data.provenance.licence) == ("toy", "CC0")
    assert data.samples.shape == (5, 3, SIDE, SIDE)
    assert [(each.layer, each.level) for each in data.sections] == [
        ("conv1", "coarse"),
        ("conv2", "intermediate"),
    ]
    section = data.sections[0]
    assert section.hybrids.shape == (3, 4, 3, SIDE, SIDE)
    assert section.labels.shape == (5, CHANNELS)
    assert section.members(2).tolist() == [4, 5]
    assert steps[0] == "samples of toy"
    assert len(steps) == 1 + 2 * 5


def test_one_layers_maps_are_computed_while_modules_of_another_are_looked_at(
    client: Client, faults: Faults
) -> None:
    plan = planned("coarse", "intermediate", pairs=20)
    gather(client, client.model("toy"), plan, Analyst(client), lambda step: None)
    begun = [each for each in faults.asked if isinstance(each, INFLUENCE | MODULES | STABILITY)]
    assert [type(each) for each in begun[:3]] == [INFLUENCE, INFLUENCE, MODULES]
    # And modules are measured while they are compared.
    assert [type(each) for each in begun[3:5]] == [STABILITY, INFLUENCE]


def test_a_report_says_in_which_precision_all_of_it_was_computed(client: Client) -> None:
    plan = planned("coarse", pairs=20, samples=5, precision=Precision.BF16)
    data = gather(client, client.model("toy"), plan, Analyst(client), lambda step: None)
    assert (data.precision, data.provider) == ("bfloat16", "OpenVINOExecutionProvider")
    assert data.rewrites == ("fold", "share")
    (deviation,) = data.deviations
    assert deviation.startswith("coarse: individual influences 0.10% (median) and 1.25% (worst)")


def test_a_report_tells_how_stable_its_modules_are_where_enough_channels_can_tell(
    client: Client,
) -> None:
    def section(k: int) -> LayerSection:
        plan = planned("coarse", pairs=20, k=k)
        data = gather(client, client.model("toy"), plan, Analyst(client), lambda step: None)
        return data.sections[0]

    found = section(2).consistency
    assert found is not None
    assert 0 <= found.chance <= 1
    # A run sees four of the six channels.
    assert section(5).consistency is None


def test_a_modules_hybrids_change_only_the_rows_of_its_template(client: Client) -> None:
    plan = planned("coarse", pairs=20, shown_pairs=4)
    data = gather(client, client.model("toy"), plan, Analyst(client), lambda step: None)
    section = data.sections[0]
    for module, hybrids in enumerate(section.hybrids):
        rows = np.flatnonzero(np.abs(hybrids - section.original1).max(axis=(0, 1, 3)))
        assert rows.tolist() == [2 * module, 2 * module + 1]


def test_modules_are_measured_on_independent_pairs_that_all_count(
    client: Client, faults: Faults
) -> None:
    plan = planned("coarse", pairs=320, stratified=True, until=ConfidentLabels())
    steps: list[str] = []
    gather(client, client.model("toy"), plan, Analyst(client), steps.append)
    assert "influence maps of 6 channels over at most 320 stratified pairs" in steps[1]
    asked = [each for each in faults.asked if isinstance(each, INFLUENCE)]
    told = [(each.pairs.stratified, each.HasField("until"), each.pairs.count) for each in asked]
    assert told == [(True, True, 320), (False, False, 200)]
    found = client.influence("toy", "coarse", pairs=320, stratified=True, until=ConfidentLabels())
    assert asked[1].pairs.first == found.pairs


def test_modules_are_measured_on_pairs_that_did_not_find_them(client: Client) -> None:
    plan = planned("coarse", pairs=20, shown_pairs=4)
    section = gather(
        client, client.model("toy"), plan, Analyst(client), lambda step: None
    ).sections[0]
    assert (section.check_pairs, section.fresh_pairs) == (20, True)
    labels = section.labels[0]
    others = client.influence("toy", "coarse", labels=labels, pairs=20, first=20)
    np.testing.assert_array_equal(section.module_maps, others.maps)
    np.testing.assert_array_equal(section.module_individual_stderr, others.individual_stderr)
    inside, outside = section.change.T
    assert (inside > 0).all()
    np.testing.assert_array_equal(outside[:2], 0.0)


def test_given_pairs_measure_the_modules_again(client: Client) -> None:
    latents = client.generate("toy", count=12).latents
    given = LatentPairs(latents, {"z": latents["z"][::-1].copy()})
    plan = planned("coarse", originals=given)
    section = gather(
        client, client.model("toy"), plan, Analyst(client), lambda step: None
    ).sections[0]
    assert (section.check_pairs, section.fresh_pairs) == (12, False)


def test_a_module_without_channels_changes_nothing(client: Client) -> None:
    plan = planned("coarse", pairs=20, k=4)
    section = gather(
        client, client.model("toy"), plan, Analyst(client), lambda step: None
    ).sections[0]
    assert section.members(3).size == 0
    assert not section.module_maps[3].any()
    assert section.module_individual[3] == section.module_individual_stderr[3] == 0.0


def test_the_layers_are_the_coarse_and_the_intermediate_one_unless_said(client: Client) -> None:
    model = client.model("toy")
    assert default_layers(model) == ("coarse", "intermediate")
    plain = Model("bare", "", (), ImageFormat(3, 4, 4, -1.0, 1.0), (), False, {})
    with pytest.raises(UsageError, match="say which layers with --layer NAME; model 'bare' has:"):
        default_layers(plain)


def test_the_report_verb_prints_the_page_that_it_wrote(
    client: Client,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[str] = []

    def browse(url: str) -> bool:
        opened.append(url)
        return len(opened) > 1  # The first time there is no browser.

    monkeypatch.setattr(webbrowser, "open", browse)
    out = tmp_path / "new" / "report"
    arguments = ["report", "--server", client.address, "--pairs", "10", "--layer", "coarse"]
    assert run([*arguments, "--clustering-seed", "0,1", "--out", str(out)]) == 0
    assert opened == []
    told = capsys.readouterr()
    assert told.out == f"{out / 'index.html'}\n"
    assert "coarse layer: influence maps of 6 channels over 10 pairs" in told.err
    assert "toy" in (out / "index.html").read_text()
    assert run([*arguments, "--out", str(out), "--open"]) == 0
    assert opened == [(out / "index.html").as_uri()]
    told = capsys.readouterr()
    assert told.err.endswith(f"no browser was found: open {out / 'index.html'} yourself\n")
    assert run([*arguments, "--out", str(out), "--open"]) == 0
    assert "no browser" not in capsys.readouterr().err
    assert run([*arguments, "--dry-run", "--open"]) == 2
