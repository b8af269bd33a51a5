"""Influence jobs in a reduced precision that float32 corrects: what is told, kept and gone on with.

ONNX Runtime's CPU provider computes a float16 graph with roundings, which is all that these need.
"""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from graftscope.server.blobs import FolderBlobs
from graftscope.server.engine import Backend, Precision
from graftscope.server.engine._precision import CPU
from graftscope.server.jobs import (
    CheckpointFolder,
    EditSpec,
    Job,
    LayerSpec,
    OriginalsSpec,
    RelativeErrorSpec,
    Snapshot,
)
from graftscope.server.rpc._replies import operation as operation_of
from graftscope.v1 import analysis_service_pb2
from job_toys import PAIRS, SHARDS, bench, refs_of

BOTH = (Backend(CPU), Backend(CPU, Precision.FP16))
ASKED: dict[str, object] = {"precision": "fp16", "corrected": True}
STRATIFIED: dict[str, object] = {
    **ASKED,
    "pairs": 32 * SHARDS,
    "originals": OriginalsSpec("prior", {}, stratified=True),
}
# Maps stop one by one: the later pairs, and their corrections, are of those that go on.
RACING: dict[str, object] = {**ASKED, "pairs": 320, "until": RelativeErrorSpec(0.12, version=2)}


class Measured(dict[str, float]):
    """What the first job measured counts for the next, however busy the machine is meanwhile."""

    def find(self, key: str) -> float | None:
        return self.get(key)

    def add(self, key: str, value: float) -> float:
        return self.setdefault(key, value)


def told(job: Job) -> dict[str, Any]:
    assert job.result is not None, job.failure
    return cast(dict[str, Any], job.result.scalars)


async def test_a_corrected_job_is_nearer_to_float32_and_says_by_what(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    async with bench(toy_vae_bundle, tmp_path, offers=BOTH) as here:
        jobs = [
            await here.done(await here.create(**changes))
            for changes in ({}, {"precision": "fp16"}, ASKED)
        ]
        plain, half, both = (here.arrays(job) for job in jobs)
    assert len({job.identity for job in jobs}) == len(jobs)
    assert {"correction", "correction_stderr"} == set(both) - set(half)
    assert "corrected_pairs" not in told(jobs[0]) | told(jobs[1])
    scalars = told(jobs[2])
    assert (scalars["precision"], scalars["corrected_pairs"] >= 16) == ("fp16", True)
    assert scalars["pairs"] == PAIRS
    assert scalars["deviation"]["sets"] == len(both["individual"])
    np.testing.assert_allclose(both["individual"], half["individual"] + both["correction"], 1e-5)
    before, after = (np.abs(x["individual"] - plain["individual"]).mean() for x in (half, both))
    assert after < before
    np.testing.assert_allclose(both["stderr"], half["stderr"], rtol=0.05, atol=5e-6)
    # Where nothing is swapped that matters, float16 leaves noise, and the noise is all there is.
    some = plain["individual"] > 0
    assert (both["correction_stderr"][some] < both["individual_stderr"][some]).all()


@pytest.mark.parametrize(
    "asked", [ASKED, STRATIFIED, RACING], ids=["independent", "stratified", "racing"]
)
async def test_it_is_gone_on_with_bit_for_bit_whatever_the_workers(
    toy_vae_bundle: Path, tmp_path: Path, asked: dict[str, object]
) -> None:
    kept, whole_state, part = Measured(), tmp_path / "whole", tmp_path / "part"
    async with bench(toy_vae_bundle, whole_state, workers=1, offers=BOTH, timings=kept) as whole:
        plan = (job := await whole.done(await whole.create(**asked))).plan
        uninterrupted = refs_of(job)
    resumed: dict[str, Any] = {"offers": BOTH, "timings": kept, "checkpoint_every_s": 0.0}
    async with bench(toy_vae_bundle, part, **resumed) as before:
        before.gate.close_after(2)
        job = await before.create(**asked)
        await before.reached(job, 2)
    async with bench(toy_vae_bundle, part, **resumed) as after:
        ended = await after.done(job)
    assert ended.plan == plan
    assert refs_of(ended) == uninterrupted


async def test_a_checkpoint_keeps_the_correction(toy_vae_bundle: Path, tmp_path: Path) -> None:
    async with bench(toy_vae_bundle, tmp_path, offers=BOTH, checkpoint_every_s=0.0) as here:
        here.gate.close_after(2)
        job = await here.create(**ASKED)
        sums = (await here.reached(job, 2)).sums
        assert sums is not None
        assert sums.correction is not None
        folder = CheckpointFolder(FolderBlobs(tmp_path / "kept"))
        again = folder.load(folder.save(job.id, sums)).correction
        assert again is not None
        for name, array in sums.correction.arrays().items():
            np.testing.assert_array_equal(again.arrays()[name], array)


async def test_a_stopping_rule_sees_the_corrected_error(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    async with bench(toy_vae_bundle, tmp_path, offers=BOTH) as here:
        rule = RelativeErrorSpec(0.9)
        job = await here.done(await here.create(**ASKED, until=rule))
        found = here.arrays(job)
    stopping = told(job)["stopping"]
    some = found["individual"] > 0
    worst = (found["individual_stderr"][some] / found["individual"][some]).max()
    assert stopping["relative_standard_error"] == pytest.approx(worst)


async def test_auto_is_float32_where_a_job_is_too_short_to_measure(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    async with bench(toy_vae_bundle, tmp_path, offers=BOTH) as here:
        job = await here.done(await here.create(precision="auto", corrected=True))
    assert told(job)["precision"] == "fp32"
    assert "corrected_pairs" not in told(job)


async def test_maps_that_stop_by_themselves_keep_a_correction_each(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    async with bench(toy_vae_bundle, tmp_path, offers=BOTH) as here:
        job = await here.done(await here.create(**RACING))
        found = here.arrays(job)
        plain = here.arrays(await here.done(await here.create(pairs=320)))
    assert len(set(found["pairs_of"].tolist())) > 1
    some = plain["individual"] > 0
    error = np.hypot(found["individual_stderr"], plain["individual_stderr"])
    assert (np.abs(found["individual"] - plain["individual"]) < 4 * error)[some].all()
    assert np.isfinite(found["correction_stderr"]).all()


@pytest.mark.parametrize("asked", [ASKED, STRATIFIED, RACING])
async def test_groups_of_pairs_are_corrected_like_the_maps_that_they_are_of(
    toy_vae_bundle: Path, tmp_path: Path, asked: dict[str, object]
) -> None:
    async with bench(toy_vae_bundle, tmp_path, offers=BOTH) as here:
        found = here.arrays(await here.done(await here.create(**asked)))
    shares = found["group_pairs"] / found["group_pairs"].sum(axis=0)
    units = found["group_units"][:, np.newaxis, np.newaxis]
    means = found["group_maps"].astype(np.float64) * units
    whole = (means * shares[..., np.newaxis, np.newaxis]).sum(axis=0)
    largest = np.abs(means).max(axis=(0, 2, 3))[:, np.newaxis, np.newaxis]
    # float16 rounds to one part in 2,048.
    assert (np.abs(whole - found["maps"]) <= 2.0**-10 * largest).all()
    left = np.abs(whole.mean(axis=(1, 2)) - found["individual"])
    assert left.mean() < 0.1 * np.abs(found["correction"]).mean()


async def test_layers_and_interventions_are_corrected_too(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    async with bench(toy_vae_bundle, tmp_path, offers=BOTH) as here:
        layers = here.generator.manifest.layers[1:3]
        none: dict[str, Any] = {"layer": "", "channels": 0, "sets": (), "pairs": 40}
        several = {
            **none,
            "subject": "layers",
            "indices": tuple(c for layer in layers for c in range(layer.channels)),
            "each_layer": tuple(LayerSpec(layer.name, layer.channels) for layer in layers),
        }
        edits = {
            **none,
            "subject": "interventions",
            "indices": (0, 1),
            "interventions": tuple(
                (EditSpec(layer.name, (0, 1), action="scale", number=0.5),) for layer in layers
            ),
        }
        for given in (several, edits):
            plain = here.arrays(await here.done(await here.create(**given)))
            job = await here.done(await here.create(**given, **ASKED))
            both = here.arrays(job)
            half = here.arrays(await here.done(await here.create(**given, precision="fp16")))
            assert told(job)["corrected_pairs"] >= 16
            assert both["correction"].shape == plain["individual"].shape
            before, after = (np.abs(x["maps"] - plain["maps"]).mean() for x in (half, both))
            assert after < before


async def test_the_wire_says_that_it_was_corrected_and_what_was_asked(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    async with bench(toy_vae_bundle, tmp_path, offers=BOTH) as here:
        for changes, uncorrected in ((ASKED, False), ({"precision": "fp16"}, True), ({}, False)):
            job = await here.done(await here.create(**changes))
            operation, found = operation_of(Snapshot(job)), analysis_service_pb2.InfluenceResponse()
            metadata = analysis_service_pb2.AnalysisMetadata()
            assert operation.response.Unpack(found)
            assert operation.metadata.Unpack(metadata)
            assert metadata.influence.uncorrected is uncorrected
            is_corrected = changes is ASKED
            assert (found.corrected_pairs >= 16) is is_corrected
            assert found.HasField("correction") is is_corrected
            assert found.HasField("correction_stderr") is is_corrected
