"""Every method that a server offers has its line in the one table, and the table no other."""

import re
from pathlib import Path

from grpc_reflection.v1alpha import reflection_pb2

from graftscope.server._services import SERVICES
from graftscope.server.access import METHODS, Role, Work, method_of
from graftscope.server.inference import described


def _offered() -> set[str]:
    reflection = reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"].full_name
    pool = described([*SERVICES, reflection])
    return {
        f"/{name}/{method.name}"
        for name in (*SERVICES, reflection)
        for method in pool.FindServiceByName(name).methods
    }


def test_every_method_has_its_line_and_no_line_is_of_none() -> None:
    assert set(METHODS) == _offered()


def test_what_is_not_in_the_table_is_of_nobody() -> None:
    assert method_of("/graftscope.v1.ModelService/Nothing") is None


def test_whatever_starts_a_job_takes_an_analyst() -> None:
    assert {each.role for each in METHODS.values() if each.work is Work.JOB} == {Role.ANALYST}


def test_only_health_asks_nobody() -> None:
    assert {path.split("/")[1] for path, each in METHODS.items() if each.role is None} == {
        "grpc.health.v1.Health"
    }


def test_the_documented_table_is_the_one_that_decides() -> None:
    page = (Path(__file__).parents[1] / "docs/serving.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (anybody|reader|analyst|admin) \| (.*?) \|", page, re.M)
    told: dict[str, str] = {}
    for role, cell in rows:
        for service, _, methods in (each.strip().partition(": ") for each in cell.split(";")):
            told |= {f"{service}/{name}": role for name in methods.split(", ") if methods}
    decides = {
        path.rpartition(".")[2]: each.role.word if each.role else "anybody"
        for path, each in METHODS.items()
    }
    assert told == decides
