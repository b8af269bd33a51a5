"""What is measured of plans is measured once, by one server of a database, and then found."""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from graftscope.server.engine import Plan, Timings
from graftscope.server.engine._machine_kind import gpu_facts, processor_facts
from graftscope.server.jobs import MeasurementStore
from graftscope.server.jobs._measurements import COUNTS_S
from job_toys import bench
from postgres_toys import Postgres

KEY, OTHER = "a" * 64, "b" * 64
PLAN = Plan(4, 2, "CPUExecutionProvider", ("share",))


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'jobs.db'}"


@pytest.fixture
def store(url: str) -> Iterator[MeasurementStore]:
    with closing(MeasurementStore(url, most=3)) as made:
        yield made


def change(url: str, **values: object) -> None:
    """What else could befall every row."""
    engine = sa.create_engine(url)
    told = ", ".join(f"{name} = :{name}" for name in values)
    with engine.begin() as connection:
        assert connection.execute(sa.text(f"UPDATE measurements SET {told}"), values).rowcount
    engine.dispose()


def never() -> float:
    raise AssertionError("it was measured again")


def test_what_one_server_measured_another_finds(url: str, store: MeasurementStore) -> None:
    assert store.find(KEY) is None
    assert store.add(KEY, 0.1 + 0.2) == 0.1 + 0.2
    with closing(MeasurementStore(url)) as again:
        assert again.find(KEY) == 0.1 + 0.2


def test_of_two_servers_that_measured_at_once_the_first_counts_for_both(
    store: MeasurementStore, postgres: Postgres
) -> None:
    url = postgres.new_database()
    with closing(MeasurementStore(url)) as one, closing(MeasurementStore(url)) as other:
        for first, second in ((one, other), (store, store)):
            assert (first.add(KEY, 1.0), second.add(KEY, 2.0)) == (1.0, 1.0)
            assert second.find(KEY) == 1.0


@pytest.mark.parametrize("damage", ["", "fast", "nan", "inf", "-1.0"])
def test_a_damaged_one_is_measured_again(url: str, store: MeasurementStore, damage: str) -> None:
    store.add(KEY, 1.0)
    change(url, value=damage)
    assert store.find(KEY) is None
    assert Timings(store).get("what", lambda: 2.0) == 2.0
    assert store.add(KEY, 3.0) == store.find(KEY) == 3.0


def test_an_old_one_is_measured_again(url: str, store: MeasurementStore) -> None:
    store.add(KEY, 1.0)
    change(url, measured_s=time.time() - COUNTS_S - 1)
    assert store.find(KEY) is None
    assert store.add(KEY, 2.0) == store.find(KEY) == 2.0


def test_the_youngest_are_kept(store: MeasurementStore) -> None:
    for value in range(5):
        store.add(f"{value:064}", float(value))
    found = [store.find(f"{value:064}") for value in range(5)]
    assert found == [None, None, 2.0, 3.0, 4.0]


def test_all_can_be_forgotten(store: MeasurementStore) -> None:
    store.add(KEY, 1.0)
    store.add(OTHER, 1.0)
    assert store.forget() == 2
    assert store.find(KEY) is None


def test_without_its_table_a_job_measures_for_itself(url: str, store: MeasurementStore) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE measurements"))
    engine.dispose()
    assert Timings(store).get("what", lambda: 2.0) == 2.0


def test_equal_questions_are_one_and_others_are_others(store: MeasurementStore) -> None:
    def what(plan: Plan = PLAN, sets: int = 8) -> object:
        return (("digest", "conv2", sets), "prior", 4, ("seconds a pair", plan, 0.05))

    assert Timings(store).get(what(), lambda: 1.0) == 1.0
    assert Timings(store).get(what(replace(PLAN)), never) == 1.0
    for other in (what(sets=9), what(replace(PLAN, arithmetic_version=99))):
        with pytest.raises(AssertionError, match="measured again"):
            Timings(store).get(other, never)


def test_what_cannot_be_told_the_same_in_any_process_is_no_key() -> None:
    with pytest.raises(TypeError, match="not told the same"):
        Timings().get((object(),), never)


@dataclass
class Counted:
    """Measurements in memory, and how often some were added."""

    values: dict[str, float] = field(default_factory=dict)
    added: int = 0

    def find(self, key: str) -> float | None:
        return self.values.get(key)

    def add(self, key: str, value: float) -> float:
        self.added += 1
        return self.values.setdefault(key, value)


async def test_after_a_restart_the_same_layer_is_not_measured_again(
    toy_vae_bundle: Path, tmp_path: Path
) -> None:
    kept, found = Counted(), []
    for number in range(2):
        async with bench(toy_vae_bundle, tmp_path / str(number), timings=kept) as here:
            for seed in (1, 2):
                job = await here.runner.plan(here.influence(seed=seed), model="")
                found.append((job.plan, job.estimate.duration_s))
            once = kept.added
        assert once
        assert kept.added == once
    assert all(each == found[0] for each in found)
    async with bench(toy_vae_bundle, tmp_path / "again", timings=kept) as here:
        await here.runner.plan(here.influence(map_size=8), model="")
    assert kept.added > once


def test_a_processor_is_its_name_and_its_features(tmp_path: Path) -> None:
    def facts(text: str) -> list[str]:
        (tmp_path / "cpuinfo").write_text(text)
        return processor_facts(tmp_path / "cpuinfo")

    core = "processor : {}\nmodel name : Fast\ncpu MHz : {}\nflags : {}\n\n"
    slow = facts(core.format(0, 800, "avx2 sse") + core.format(1, 900, "avx2 sse"))
    assert slow == facts(core.format(0, 3000, "sse avx2"))
    assert slow != facts(core.format(0, 800, "avx2 avx512f sse"))
    assert slow != facts(core.format(0, 800, "avx2 sse").replace("Fast", "Other"))


def test_a_gpu_is_its_name_and_its_driver(tmp_path: Path) -> None:
    assert gpu_facts(tmp_path) == []
    card = tmp_path / "gpus" / "0000:01:00.0" / "information"
    card.parent.mkdir(parents=True)
    card.write_text("Model: \t H200\nIRQ: 12\n")
    (tmp_path / "version").write_text("NVRM version: 580\nGCC version: 13\n")
    assert gpu_facts(tmp_path) == ["NVRM version: 580", "Model: \t H200"]
