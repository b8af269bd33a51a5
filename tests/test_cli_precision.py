"""The option --precision: taken by whatever computes, and what ran is printed."""

from pathlib import Path

import pytest
from PIL import Image

from _cli_shell import Shell
from _fake_model import SIDE
from _fake_server import Faults
from graftscope.client.errors import InputError, UsageError
from graftscope.v1 import analysis_service_pb2, precision_pb2

VERBS = ("generate", "hybridize", "encode", "influence")
DEVIATION = {
    "pairs": 8,
    "sets": 6,
    "individual_median": 0.001,
    "individual_worst": 0.0125,
    "worst": 0.05,
}


@pytest.fixture
def arguments(tmp_path: Path) -> dict[str, tuple[object, ...]]:
    """Of every verb, what it cannot do without."""
    image = tmp_path / "image.png"
    Image.new("RGB", (SIDE, SIDE)).save(image)
    out = ("--out", tmp_path / "made.npz")
    return {
        "generate": out,
        "encode": (image, *out),
        "hybridize": ("--channels", "0"),
        "influence": ("--pairs", 4),
    }


@pytest.mark.parametrize("verb", VERBS)
def test_a_document_says_what_ran_and_how_far_that_is_from_float32(
    shell: Shell, arguments: dict[str, tuple[object, ...]], verb: str
) -> None:
    plain = shell.json(verb, *arguments.get(verb, ()))
    assert (plain["precision"], plain["provider"]) == ("fp32", "CPUExecutionProvider")
    assert (plain["rewrites"], plain["deviation"]) == ([], None)
    fast = shell.json(verb, *arguments.get(verb, ()), "--precision", "auto")
    assert (fast["precision"], fast["provider"]) == ("bf16", "OpenVINOExecutionProvider")
    assert (fast["rewrites"], fast["deviation"]) == (["fold", "share"], DEVIATION)


@pytest.mark.parametrize("verb", VERBS)
def test_people_are_told_where_it_was_not_float32(
    shell: Shell, arguments: dict[str, tuple[object, ...]], verb: str
) -> None:
    assert "computed in" not in shell(verb, *arguments.get(verb, ()))[1]
    _, out, _ = shell(verb, *arguments.get(verb, ()), "--precision", "bf16")
    assert "computed in bf16 by OpenVINOExecutionProvider: individual influences 0.10%" in out


def test_influence_below_float32_is_corrected_unless_told_not_to(
    shell: Shell, server: tuple[str, Faults]
) -> None:
    asked = ("influence", "--pairs", 4, "--precision", "bf16")
    assert "sets; corrected by float32 on 16 pairs" in shell(*asked)[1]
    assert "corrected" not in shell(*asked, "--uncorrected")[1]
    document = shell.json(*asked)
    assert document["corrected_pairs"] == 16
    assert len(document["correction"]) == len(document["correction_stderr"]) == 6
    plain = shell.json("influence", "--pairs", 4)
    assert (plain["corrected_pairs"], plain["correction"]) == (0, None)
    requests = [x for x in server[1].asked if isinstance(x, analysis_service_pb2.InfluenceRequest)]
    assert [x.uncorrected for x in requests] == [False, True, False, False]


@pytest.mark.parametrize("verb", ["modules", "stability", "find"])
def test_maps_that_a_verb_has_to_compute_are_asked_for_in_its_precision(
    shell: Shell, server: tuple[str, Faults], verb: str
) -> None:
    more = ("--region", "0,0,2,2") if verb == "find" else ()
    # Whatever it then finds in maps of so few pairs.
    shell(verb, "--pairs", 4, "--precision", "fp16", *more)
    asked = [
        request
        for request in server[1].asked
        if isinstance(request, analysis_service_pb2.InfluenceRequest)
    ]
    assert [request.precision for request in asked] == [precision_pb2.PRECISION_FP16]


def test_maps_of_a_file_have_their_precision_already(shell: Shell, tmp_path: Path) -> None:
    maps = tmp_path / "maps.npz"
    assert shell("influence", "--pairs", 4, "--out", maps)[0] == 0
    code, told = shell.refused("modules", "--maps", maps, "--precision", "bf16")
    assert code == UsageError.exit_code
    assert "--precision is of maps that are computed: leave out --maps, or it" in told


@pytest.mark.parametrize("verb", [*VERBS, "report"])
def test_a_misspelt_precision_is_refused(
    shell: Shell, arguments: dict[str, tuple[object, ...]], verb: str, tmp_path: Path
) -> None:
    more = ("--out", tmp_path / "report") if verb == "report" else ()
    code, told = shell.refused(verb, *arguments.get(verb, ()), *more, "--precision", "half")
    assert code == InputError.exit_code
    assert "precision 'half' is unknown; there are: fp32, bf16, tf32, fp16, auto" in told
