"""Facts about the client with a real server inside the process, and a real generator in small."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE
from typing import Any

import numpy as np
import pytest

from _either_client import opened
from graftscope.client import (
    AsyncClient,
    Client,
    Encoded,
    Images,
    InfluenceTask,
    JobState,
    LatentPairs,
    Prior,
)
from graftscope.client.cli import run
from graftscope.client.errors import (
    GraftscopeError,
    InputError,
    JobError,
    NotFoundError,
)

LAYER = "intermediate"


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def client(toy_vae_bundle: Path, state: Path) -> Iterator[Client]:
    with Client(bundles=[toy_vae_bundle], state=state) as client:
        yield client


def test_the_embedded_server_answers_at_loopback_as_any_other(client: Client) -> None:
    assert client.embedded
    assert client.address.startswith("127.0.0.1:")
    with Client(client.address) as other:
        assert [model.name for model in other.models()] == ["toy-vae"]


async def test_the_asynchronous_client_embeds_a_server_too(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    async with AsyncClient(bundles=[toy_vae_bundle], state=tmp_path) as client:
        (model,) = await client.models()
        maps = await client.influence(model.name, LAYER, pairs=33)
        assert maps.maps.shape[0] == model.layer(LAYER).channels


def test_splicing_every_channel_gives_original_2_and_none_original_1(client: Client) -> None:
    channels = client.model("toy-vae").layer(LAYER).channels
    whole = client.hybridize("toy-vae", LAYER, range(channels), pairs=5)
    nothing = client.hybridize("toy-vae", LAYER, (), pairs=5)
    np.testing.assert_array_equal(whole.hybrid, whole.original2)
    np.testing.assert_array_equal(nothing.hybrid, nothing.original1)


def test_samples_made_again_from_their_latents_are_the_same(client: Client) -> None:
    samples = client.generate("toy-vae", count=6, seed=2)
    again = client.generate("toy-vae", latents=samples.latents)
    np.testing.assert_array_equal(samples.images, again.images)


def test_an_influence_map_is_the_mean_change_of_its_hybrids(client: Client) -> None:
    maps = client.influence("toy-vae", LAYER, (2, 0), pairs=40, seed=9)
    for row, channel in enumerate((2, 0)):
        pairs = client.hybridize("toy-vae", LAYER, (channel,), pairs=40, seed=9)
        change = np.abs(pairs.hybrid.astype(np.float64) - pairs.original1).mean(axis=1)
        tolerance = 1e-5 * maps.range_width  # what reordered float32 arithmetic may differ by
        np.testing.assert_allclose(maps.maps[row], change.mean(axis=0), atol=tolerance)
        np.testing.assert_allclose(maps.individual[row], change.mean(), atol=tolerance)


def test_the_same_question_is_answered_by_the_same_job(client: Client) -> None:
    first = client.influence("toy-vae", LAYER, pairs=33, seed=1)
    second = client.influence("toy-vae", LAYER, pairs=33, seed=1)
    assert first.operation == second.operation
    np.testing.assert_array_equal(first.maps, second.maps)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_latents_larger_than_a_message_give_the_maps_of_their_pairs(
    client: Client, kind: str
) -> None:
    size = client.model("toy-vae").inputs[0].shape[0]
    random = np.random.default_rng(3)
    first, second = random.standard_normal((2, 40_000, size)).astype(np.float32)
    with opened(kind, client.address) as other:
        samples = other.generate("toy-vae", latents={"z": first})
        assert len(samples.images) == len(first)
        pairs = LatentPairs({"z": first[:64]}, {"z": second[:64]})
        maps = other.influence("toy-vae", LAYER, (1,), originals=pairs)
    hybrids = client.hybridize("toy-vae", LAYER, (1,), originals=pairs)
    change = np.abs(hybrids.hybrid.astype(np.float64) - hybrids.original1).mean()
    np.testing.assert_allclose(maps.individual, change, rtol=1e-4)
    assert (maps.pairs, maps.originals) == (64, "latents")


def test_originals_come_from_where_they_were_asked_for(client: Client) -> None:
    image = client.model("toy-vae").image
    shape = (12, image.height, image.width, image.channels)
    images = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    for originals, name in ((Prior(), "prior"), (Encoded(), "encoded"), (Images(images), "images")):
        result = client.influence("toy-vae", LAYER, (0,), pairs=33, originals=originals)
        assert result.originals == name
        assert (result.distinct_images > 0) == (name == "images")


def test_modules_of_a_result_keep_their_channels_influence(client: Client) -> None:
    maps = client.influence("toy-vae", LAYER, pairs=33)
    modules = client.modules(maps, k=2, seeds=(0, 1))
    assert modules.labels.shape == maps.channels.shape
    result = client.influence("toy-vae", LAYER, labels=modules.labels, pairs=33)
    assert result.channels.tolist() == sorted(set(modules.labels[modules.labels >= 0].tolist()))


def test_an_estimate_tells_time_hybrids_and_bytes(client: Client) -> None:
    model = client.model("toy-vae")
    estimate = client.estimate(InfluenceTask("toy-vae", LAYER, pairs=100))
    assert estimate.hybrids == 100 * model.layer(LAYER).channels
    assert estimate.result_bytes > 0


def test_jobs_are_listed_and_deleted(client: Client) -> None:
    job = client.start(InfluenceTask("toy-vae", "coarse", pairs=33, seed=77))
    client.wait(job.name)
    listed = {each.name: each for each in client.jobs()}
    assert listed[job.name].progress.state is JobState.DONE
    client.delete(job.name)
    with pytest.raises(NotFoundError):
        client.job(job.name)


def test_a_cancelled_job_has_no_result_and_the_same_request_resumes_it(client: Client) -> None:
    task = InfluenceTask("toy-vae", "coarse", pairs=20_000, seed=5)
    job = client.start(task)
    client.cancel(job.name)
    with pytest.raises(JobError):
        client.wait(job.name)
    assert client.job(job.name).progress.state is JobState.CANCELLED


@pytest.mark.parametrize(
    ("ask", "expected", "message"),
    [
        (lambda c: c.influence("toy-vae", "conv9"), InputError, "layer 'conv9' is not"),
        (lambda c: c.influence("none", LAYER), NotFoundError, "none"),
        (lambda c: c.influence("toy-vae", LAYER, (99,)), InputError, "channel 99 is not"),
        (lambda c: c.hybridize("toy-vae", LAYER, (99,)), InputError, "channel 99 is not"),
        (
            lambda c: c.generate("toy-vae", latents={"z": np.zeros((2, 3))}),
            InputError,
            r"of shape \(2, 3\)",
        ),
        (lambda c: c.generate("toy-vae", latents={"y": np.zeros((2, 3))}), InputError, "y"),
        (lambda c: c.encode("toy-vae", np.zeros((1, 2, 2, 3), np.uint8)), InputError, "images"),
        (
            lambda c: c.modules(np.random.default_rng(0).random((4, 8, 8)), k=5),
            InputError,
            "k = 5 is not allowed; it is 1 to 4",
        ),
        (lambda c: c.modules("operations/none"), NotFoundError, "none"),
    ],
)
def test_what_the_server_refuses_is_an_error_of_its_kind(
    client: Client, ask: Any, expected: type[GraftscopeError], message: str
) -> None:
    with pytest.raises(expected, match=message):
        ask(client)
    assert client.models()


def test_a_bundle_that_is_missing_or_damaged_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="does not exist"):
        Client(bundles=[tmp_path / "none"], state=tmp_path / "state")
    with pytest.raises(InputError, match="device 'tpu' is unknown; there are: cpu, cuda"):
        Client(bundles=[tmp_path], device="tpu")
    with pytest.raises(InputError, match="workers 0 is not allowed"):
        Client(bundles=[tmp_path], workers=0)


def test_modules_know_the_layer_that_their_maps_are_of(client: Client) -> None:
    maps = client.influence("toy-vae", "coarse", pairs=33)
    assert client.modules(maps, k=2).source == maps.source
    by_name = client.modules(maps.operation, k=2).source
    assert by_name is not None
    assert (by_name.model, by_name.model_digest) == ("toy-vae", client.model("toy-vae").digest)
    assert client.model("toy-vae").layer(by_name.layer).name == maps.layer
    assert client.modules(maps.maps, k=2).source is None


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_client_beside_another_server_warns_that_nothing_is_kept(
    kind: str,
    toy_vae_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with Client(bundles=[toy_vae_bundle]) as first:
        assert first.keeps_results
        assert not caplog.records
        with opened(kind, bundles=[toy_vae_bundle]) as second:
            assert not second.keeps_results
        (record,) = caplog.records
        assert record.name == "graftscope.client"
        assert "another server or command holds" in record.getMessage()
        assert run(["models", "--bundle", str(toy_vae_bundle)]) == 0
        assert capsys.readouterr().err.startswith("graftscope: warning: another server")


def test_an_interruption_promises_nothing_where_nothing_is_kept(
    toy_vae_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Client, "watch", interrupted)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with Client(bundles=[toy_vae_bundle]):
        assert run(["influence", "--bundle", str(toy_vae_bundle), "--pairs", "2000"]) == 130
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.endswith("of 2,000 pairs: nothing is kept, as the state folder is temporary")


def test_the_same_command_announces_no_work_the_second_time(
    toy_vae_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--bundle", str(toy_vae_bundle), "--state", str(tmp_path)]
    command = ["influence", *where, "--pairs", "640"]
    assert run(command) == 0
    assert "hybrids, " in capsys.readouterr().err
    assert run(command) == 0
    assert capsys.readouterr().err.startswith("answered already on ")


def test_inspect_prints_the_manifest(
    toy_vae_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["inspect", str(toy_vae_bundle), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((toy_vae_bundle / "manifest.json").read_text())
    assert all(layer["tensor"] for layer in printed["layers"])
    assert run(["inspect", str(toy_vae_bundle)]) == 0
    assert "intermediate" in capsys.readouterr().out


def test_a_truncated_bundle_is_one_line(
    toy_vae_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for file in toy_vae_bundle.iterdir():
        (damaged / file.name).write_bytes(file.read_bytes())
    (damaged / "weights.bin").write_bytes(b"short")
    arguments = ["--bundle", str(damaged), "--state", str(tmp_path / "state")]
    for verb in (["inspect", str(damaged)], ["models", *arguments]):
        assert run(verb) == 4
        err = capsys.readouterr().err
        assert "'weights.bin' is damaged or truncated" in err
        assert err.count("\n") == 1


def test_an_interrupted_command_ends_with_one_line_and_its_exit_code(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    where = ["--bundle", str(toy_vae_bundle), "--state", str(tmp_path)]
    code = "from graftscope.client.cli import main; main()"
    command = [sys.executable, "-c", code, "influence", *where, "--pairs", "1000000"]
    with subprocess.Popen(command, stdout=PIPE, stderr=PIPE, text=True) as process:
        assert process.stderr is not None
        assert "hybrids, " in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 130
    assert out == ""
    assert err.splitlines()[-1].startswith("graftscope: interrupted")
    assert "Traceback" not in err
