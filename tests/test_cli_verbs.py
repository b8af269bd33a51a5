"""Facts about the verbs: what they print, what they write, and how they refuse."""

from dataclasses import replace
from pathlib import Path

import grpc
import numpy as np
import pytest
from PIL import Image

from _cli_shell import Shell, arrays
from _fake_model import CHANNELS, SIDE, draw
from _fake_server import Faults
from graftscope.client import Client, Source
from graftscope.client.arrays import write_npz
from graftscope.client.cli import run


def save_image(path: Path, value: int, size: tuple[int, int] = (SIDE, SIDE)) -> Path:
    Image.new("RGB", size, (value, value, value)).save(path)
    return path


def test_models_prints_a_line_a_model_and_the_manifests_as_json(shell: Shell) -> None:
    code, out, _ = shell("models")
    assert code == 0
    assert "toy" in out
    assert "conv1 (coarse), conv2 (intermediate)" in out
    (manifest,) = shell.json("models")["models"]
    assert [layer["tensor"] for layer in manifest["layers"]] == [
        "/conv1/Relu_output_0",
        "/conv2/Relu_output_0",
    ]


def test_generate_writes_samples_that_are_latents_for_other_verbs(
    shell: Shell, tmp_path: Path
) -> None:
    out = tmp_path / "samples.npz"
    document = shell.json("generate", "--count", 3, "--seed", 4, "--out", out)
    assert (document["model"], document["count"], document["out"]) == ("toy", 3, str(out))
    written = arrays(out)
    assert set(written) == {"images", "z"}
    np.testing.assert_array_equal(written["z"][2], draw(4, 2, 1))
    again = tmp_path / "again.npz"
    assert shell("generate", "--latents", out, "--out", again)[0] == 0
    np.testing.assert_array_equal(arrays(again)["images"], written["images"])


def test_generate_draws_a_picture_where_out_ends_in_png(shell: Shell, tmp_path: Path) -> None:
    out = tmp_path / "samples.png"
    assert shell("generate", "--count", 3, "--out", out)[0] == 0
    with Image.open(out) as image:
        assert image.format == "PNG"


def test_encode_writes_means_under_the_inputs_names(shell: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    save_image(folder / "a.png", 0)
    save_image(folder / "b.png", 255, (4 * SIDE, 2 * SIDE))
    out = tmp_path / "latents.npz"
    assert shell("encode", folder, "--out", out)[0] == 0
    written = arrays(out)
    assert set(written) == {"z", "z_log_variance"}
    np.testing.assert_allclose(written["z"], [[-1.0] * CHANNELS, [1.0] * CHANNELS])


def test_influence_writes_exactly_the_arrays_of_the_format(shell: Shell, tmp_path: Path) -> None:
    out = tmp_path / "maps.npz"
    document = shell.json("influence", "--pairs", 20, "--seed", 3, "--out", out)
    written = arrays(out)
    assert {name: (array.dtype, array.shape) for name, array in written.items()} == {
        "maps": (np.float64, (CHANNELS, SIDE, SIDE)),
        "stderr": (np.float64, (CHANNELS, SIDE, SIDE)),
        "individual": (np.float64, (CHANNELS,)),
        "individual_stderr": (np.float64, (CHANNELS,)),
        "channels": (np.int64, (CHANNELS,)),
        "group_maps": (np.float16, (2, CHANNELS, SIDE, SIDE)),
        "group_pairs": (np.int64, (2, CHANNELS)),
        "group_units": (np.float64, (CHANNELS,)),
    }
    assert document["individual"] == pytest.approx(written["individual"])
    assert (document["layer"], document["pairs"]) == ("conv2", 20)


def test_influence_tells_its_cost_on_standard_error_before_it_starts(shell: Shell) -> None:
    code, out, err = shell("influence", "--pairs", 3)
    assert code == 0
    assert err.startswith("600 hybrids, about 12 s, 4.6 kB of results\n")
    assert "individual influence, % of the range" in out


def test_top_shows_the_largest_influences_and_their_share_of_all(
    shell: Shell, tmp_path: Path
) -> None:
    out = tmp_path / "maps.npz"
    code, printed, _ = shell("influence", "--pairs", 3, "--top", 2, "--out", out)
    individual = arrays(out)["individual"]
    largest = np.argsort(individual)[::-1][:2]
    rows = [line.split() for line in printed.splitlines() if line.strip()[:1].isdigit()]
    *table, last = [row for row in rows if row[0].isdigit()]
    assert code == 0
    assert [int(row[0]) for row in table[-2:]] == list(largest)
    share = individual[largest].sum() / individual.sum()
    assert " ".join(last) == f"2 of {CHANNELS} channels: {share:.0%} of the sum of all influences"


def test_top_of_more_than_there_are_shows_all_and_tells_no_share(shell: Shell) -> None:
    shown = shell("influence", "--pairs", 3, "--top", 99)[1]
    assert len(shown.splitlines()) == 2 + CHANNELS
    assert "of the sum of all influences" not in shown


def test_ten_maps_are_shown_where_nobody_says_how_many(
    shell: Shell, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    twelve = replace(
        client.influence("toy", "conv2", pairs=3),
        maps=np.ones((12, SIDE, SIDE)),
        individual=np.arange(1.0, 13.0),
        individual_stderr=np.ones(12),
        channels=np.arange(12),
    )
    monkeypatch.setattr(Client, "result", lambda *_: twelve)
    out = shell("influence", "--pairs", 3)[1].splitlines()
    assert [int(line.split()[0]) for line in out[2:12]] == list(range(11, 1, -1))
    share = sum(range(3, 13)) / sum(range(1, 13))
    assert out[12] == f"10 of 12 channels: {share:.0%} of the sum of all influences"


def test_a_dry_run_tells_the_cost_and_starts_nothing(
    shell: Shell, server: tuple[str, Faults]
) -> None:
    document = shell.json("influence", "--dry-run")
    assert document == {"estimate": {"duration_s": 12.5, "hybrids": 600, "result_bytes": 4608}}
    assert shell.json("jobs", "list")["jobs"] == []
    assert "WatchOperation" not in server[1].calls


def test_a_dry_run_of_modules_tells_what_their_maps_would_cost(shell: Shell) -> None:
    code, out, err = shell("modules", "--dry-run")
    assert (code, out, err) == (0, "", "at most 600 hybrids, about 12 s, 4.6 kB of results\n")
    assert shell.json("jobs", "list")["jobs"] == []


def test_a_dry_run_of_a_report_adds_up_its_layers_and_writes_nothing(
    shell: Shell, tmp_path: Path
) -> None:
    document = shell.json("report", "--dry-run", "--out", tmp_path / "report")
    assert document == {
        "estimate": {"duration_s": 25.0, "hybrids": 1200, "result_bytes": 9216},
        "until": "labels=0.95,k=3,method=nmf",
    }
    assert shell.json("jobs", "list")["jobs"] == []
    assert not (tmp_path / "report").exists()


def test_a_question_that_was_answered_announces_no_work(
    shell: Shell, server: tuple[str, Faults]
) -> None:
    server[1].answered_already = True
    code, _, err = shell("influence", "--pairs", 3)
    assert code == 0
    assert err.startswith("answered already on 2023-11-1")
    assert err.count("\n") == 1


def test_a_job_that_was_begun_says_where_it_goes_on(
    shell: Shell, server: tuple[str, Faults]
) -> None:
    server[1].shards_kept = 1
    _, _, err = shell("influence", "--pairs", 3)
    assert err.startswith("goes on from 3 of 3 pairs, about 6.2 s left\n")
    assert server[1].calls.count("Influence") == 1


def test_the_standard_error_of_one_pair_is_null_in_json(shell: Shell) -> None:
    assert shell.json("influence", "--pairs", 1)["individual_stderr"] == [None] * CHANNELS


def test_influence_of_given_latents_is_that_of_the_library(
    shell: Shell, server: tuple[str, Faults], tmp_path: Path
) -> None:
    for name, seed in (("a", 1), ("b", 2)):
        shell("generate", "--count", 5, "--seed", seed, "--out", tmp_path / f"{name}.npz")
    out = tmp_path / "maps.npz"
    sides = ("--latents1", tmp_path / "a.npz", "--latents2", tmp_path / "b.npz")
    document = shell.json("influence", "--channels", "4, 1", *sides, "--out", out)
    assert (document["originals"], document["channels"]) == ("latents", [4, 1])
    first, second = (np.stack([draw(seed, i, 1) for i in range(5)]) for seed in (1, 2))
    change = np.abs(second - first).mean(axis=0)
    expected = change[[4, 1]] * [0.5, 0.2] / 3
    np.testing.assert_allclose(arrays(out)["individual"], expected, rtol=1e-5)


def test_real_images_are_read_and_bad_ones_are_named_and_counted(
    shell: Shell, tmp_path: Path
) -> None:
    save_image(tmp_path / "good.png", 100)
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    code, _, err = shell("influence", "--pairs", 2, "--originals", tmp_path)
    assert code == 0
    assert "skipped 1 of 2 images: bad.jpg: not an image of a known format" in err


def test_modules_of_written_maps_and_of_computed_ones_are_the_same(
    shell: Shell, tmp_path: Path
) -> None:
    maps, out, again = (tmp_path / f"{name}.npz" for name in ("maps", "out", "again"))
    shell("influence", "--pairs", 20, "--out", maps)
    document = shell.json(
        "modules", "--maps", maps, "--k", 3, "--clustering-seed", "0,7", "--out", out
    )
    assert document["labels"] == [0, 0, 1, 1, 2, 2]
    assert (document["seeds"], document["seeds_agreeing"]) == ([0, 7], 2)
    assert shell("modules", "--pairs", 20, "--out", again)[0] == 0
    first, second = arrays(out), arrays(again)
    names = {"labels", "templates", "weights", "purity", "probabilities"}
    by_seed = {"seeds", "seed_labels", "seed_templates", "agreement", "cosine"}
    of_maps = {"channels", "individual", "individual_stderr"}
    assert set(first) == set(second) == names | by_seed | of_maps
    for name in names:
        np.testing.assert_allclose(first[name], second[name])


def test_modules_print_their_channels(shell: Shell) -> None:
    _, out, _ = shell("modules", "--pairs", 5, "--clustering-seed", "0,1,2")
    assert "0 1" in out
    assert "3 of 3 seeds agree with the first" in out


@pytest.fixture
def modules_file(shell: Shell, tmp_path: Path) -> Path:
    path = tmp_path / "modules.npz"
    shell("modules", "--pairs", 5, "--out", path)
    return path


def test_hybrids_of_a_module_are_those_of_its_channels(
    shell: Shell, modules_file: Path, tmp_path: Path
) -> None:
    by_module, by_channels = tmp_path / "m.npz", tmp_path / "c.npz"
    shell("hybridize", "--modules", modules_file, "--module", 1, "--out", by_module)
    shell("hybridize", "--channels", "2,3", "--out", by_channels)
    first, second = arrays(by_module), arrays(by_channels)
    assert {name: array.shape for name, array in first.items()} == dict.fromkeys(
        ("original1", "original2", "hybrid"), (8, 3, SIDE, SIDE)
    )
    assert first["hybrid"].dtype == np.float32
    np.testing.assert_array_equal(first["hybrid"], second["hybrid"])


@pytest.fixture
def coarse_modules(shell: Shell, tmp_path: Path) -> Path:
    maps, path = tmp_path / "coarse-maps.npz", tmp_path / "coarse.npz"
    shell("influence", "--layer", "coarse", "--pairs", 5, "--out", maps)
    assert shell("modules", "--maps", maps, "--out", path)[0] == 0
    return path


def test_modules_are_used_at_the_layer_that_they_are_of(shell: Shell, coarse_modules: Path) -> None:
    given = ("--modules", coarse_modules)
    assert shell.json("hybridize", *given, "--module", 0)["layer"] == "conv1"
    assert shell.json("hybridize", *given, "--module", 0, "--layer", "coarse")["layer"] == "coarse"
    assert shell.json("influence", *given, "--pairs", 3)["layer"] == "conv1"


@pytest.mark.parametrize("verb", [("influence",), ("hybridize", "--module", 0)])
def test_modules_of_one_layer_are_refused_at_another(
    shell: Shell, coarse_modules: Path, verb: tuple[object, ...]
) -> None:
    code, line = shell.refused(*verb, "--modules", coarse_modules, "--layer", "intermediate")
    assert code == 2
    assert "is of layer conv1 of toy@dddddddddddd, not of layer intermediate" in line


def test_modules_of_another_version_of_the_model_are_refused(
    shell: Shell, server: tuple[str, Faults], coarse_modules: Path
) -> None:
    server[1].digest = "e" * 64
    code, line = shell.refused("influence", "--modules", coarse_modules)
    assert code == 4
    assert "another version than toy@eeeeeeeeeeee of this server" in line


def test_modules_of_a_model_that_is_not_served_are_refused(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "faces.npz"
    source = Source("faces", "f" * 64, "conv1", "operations/1")
    write_npz(path, {"labels": np.zeros(CHANNELS, np.int64)}, source.to_comment())
    code, line = shell.refused("influence", "--modules", path)
    assert code == 4
    assert "layer conv1 of faces@ffffffffffff, which this server does not have; it has: toy" in line


def test_modules_made_by_hand_are_used_where_one_says(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "hand.npz"
    np.savez(path, labels=np.array([0, 0, 0, 1, 1, 1]))
    given = ("hybridize", "--modules", path, "--module", 1)
    assert shell.json(*given)["layer"] == "intermediate"
    assert shell.json(*given, "--layer", "conv1")["layer"] == "conv1"


def test_a_list_may_be_given_piece_by_piece(shell: Shell) -> None:
    apart = shell.json("influence", "--channels", 4, "--pairs", 3, "--channels", "1,2")
    assert (
        apart["channels"]
        == shell.json("influence", "--channels", "4,1,2", "--pairs", 3)["channels"]
    )
    code, line = shell.refused("influence", "--layer", "conv1", "--layer", "conv1")
    assert code == 4
    assert "--layer: 'conv1' is named more than once" in line


def test_one_value_given_twice_is_refused_with_both(shell: Shell) -> None:
    code, line = shell.refused("influence", "--pairs", 3, "--model", "toy", "--model", "other")
    assert code == 2
    assert "--model is given 2 times, and takes one value: toy, other" in line


@pytest.mark.parametrize(
    "option",
    [
        ("--pairs", 7),
        ("--pairs-seed", 4),
        ("--map-size", 4),
        ("--originals", "prior"),
        ("--share", "q"),
        ("--until", "stable"),
    ],
    ids=lambda option: str(option[0]),
)
@pytest.mark.parametrize("verb", ["modules", "stability"])
def test_what_is_of_pairs_is_refused_beside_maps_that_are_given(
    shell: Shell, tmp_path: Path, verb: str, option: tuple[str, object]
) -> None:
    maps = tmp_path / "maps.npz"
    write_npz(maps, {"maps": np.random.default_rng(0).random((6, 4, 4))})
    code, line = shell.refused(verb, "--maps", maps, *option)
    assert code == 2
    assert f"{option[0]} is of maps that are computed: leave out --maps, or it" in line


def test_modules_without_a_choice_are_asked_which(shell: Shell, modules_file: Path) -> None:
    code, line = shell.refused("hybridize", "--modules", modules_file)
    assert (code, line) == (2, "graftscope: say which module: --module 0 to 2\n")


@pytest.mark.parametrize(("verb", "pairs"), [("hybridize", 8), ("influence", 1000)])
def test_help_states_the_pairs_that_the_verb_takes(
    verb: str, pairs: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([verb, "--help"]) == 0
    told = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert f"at least 1. Default: {pairs}." in told


def test_hybrids_of_no_channel_are_original_1(shell: Shell) -> None:
    assert shell.json("hybridize", "--channels", "")["change_share"] == 0


def test_hybrids_of_two_images_are_drawn(shell: Shell, tmp_path: Path) -> None:
    images = [save_image(tmp_path / f"{value}.png", value) for value in (0, 255)]
    out = tmp_path / "hybrids.png"
    code, told, _ = shell(
        "hybridize", "--channels", 0, "--image1", images[0], "--image2", images[1], "--out", out
    )
    assert code == 0
    assert "1 hybrid of toy at intermediate" in told
    assert out.read_bytes()[:4] == b"\x89PNG"


def test_influence_of_modules_is_told_by_module(shell: Shell, modules_file: Path) -> None:
    _, out, _ = shell("influence", "--modules", modules_file, "--pairs", 3)
    assert out.splitlines()[1].startswith("module")
    assert len(out.splitlines()) == 2 + 3


def test_jobs_can_be_listed_shown_watched_and_cancelled(shell: Shell, tmp_path: Path) -> None:
    shell("influence", "--pairs", 3)
    (listed,) = shell.json("jobs", "list")["jobs"]
    assert (listed["name"], listed["kind"], listed["done"]) == ("operations/1", "influence", True)
    assert "influence  toy    intermediate  done" in shell("jobs", "list")[1]
    shown = shell.json("jobs", "show", "1")
    assert shown == listed
    assert shown["estimate"]["hybrids"] == 600
    assert "12 s, 4.6 kB" in shell("jobs", "show", "1")[1]
    out = tmp_path / "maps.npz"
    assert shell("jobs", "watch", "1", "--out", out)[0] == 0
    assert arrays(out)["maps"].shape == (CHANNELS, SIDE, SIDE)
    assert shell("jobs", "cancel", "1")[0] == 0
    assert shell.refused("jobs", "watch", "1") == (
        7,
        "graftscope: job 1: the job was cancelled\n",
    )


def test_an_interrupted_wait_says_how_to_go_on(
    shell: Shell, server: tuple[str, Faults], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Client, "watch", interrupted)
    code, _, err = shell("influence", "--pairs", 3)
    assert code == 130
    assert err.splitlines()[-1] == (
        "graftscope: interrupted after 0 of 3 pairs: the job goes on whenever the server at "
        f"{server[0]} runs; `graftscope jobs watch 1` follows it, `jobs partial 1 --out FILE.npz` "
        "writes what there is, `jobs cancel 1` ends it"
    )


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("influence", "--layer", "conv9"), 4, "layer 'conv9' is not in model 'toy'; it has:"),
        (("influence", "--model", "none"), 3, "'models/none' is not served"),
        (("influence", "--channels", "1,x"), 4, "--channels '1,x' is not integers from 0"),
        (("influence", "--channels", ""), 4, "no channels"),
        (("influence", "--channels", "-1"), 4, "--channels '-1' is not integers from 0"),
        (("influence", "--pairs", 0), 4, "pairs 0 is not allowed: it must be from 1"),
        (("influence", "--seed", -1), 4, "seed -1 is not allowed"),
        (("influence", "--latents1", "a.npz"), 2, "--latents1 and --latents2 go together"),
        (("influence", "--originals", "nowhere"), 3, "no image, folder or zip of images"),
        (("influence", "--out", "maps.txt"), 4, "its name must end in .npz"),
        (("influence", "--out", "no/such/maps.npz"), 4, "there is no folder no/such"),
        (("influence", "--modules", "none.npz"), 3, "there is no file none.npz"),
        (
            ("influence", "--bundle", "b"),
            2,
            "--bundle is of a server inside this process, and --server names another",
        ),
        (("influence", "--timeout", 0), 4, "--timeout 0 is not allowed: it must lie above 0"),
        (("influence", "--map-size", -1), 4, "--map-size -1 is not allowed"),
        (("influence", "--nonsense"), 2, "there is no option --nonsense"),
        (("nonsense",), 2, "there is no verb 'nonsense'"),
        (("modules", "--method", "ward"), 4, "--method 'ward' is unknown; there are: nmf, kmeans"),
        (("modules", "--clustering-seed", "x"), 4, "--clustering-seed 'x' is not integers from 0"),
        (("modules", "--maps", "m.npz", "--layer", "conv1"), 2, "leave out --model, --layer"),
        (("modules", "--maps", "m.npz", "--model", "toy"), 2, "leave out --model, --layer"),
        (("modules", "--maps", "m.npz", "--dry-run"), 2, "leave out --maps"),
        (("hybridize",), 2, "say which channels"),
        (("hybridize", "--channels", 1, "--module", 0), 2, "or --modules and --module"),
        (("hybridize", "--channels", "1", "--image1", "a.png"), 2, "--image1 and --image2 go"),
        (("generate",), 2, "say where the samples go: --out FILE.npz or FILE.png"),
        (("encode", "a.png"), 2, "say where the latents go: --out FILE.npz"),
        (("generate", "--count", 0, "--out", "s.npz"), 4, "--count 0 is not allowed"),
        (("influence", "--pairs", 2.5), 4, "--pairs '2.5' is not an integer"),
        (("influence", "--top", "x"), 4, "--top 'x' is not an integer"),
        (("influence", "--pairs", 10_000_001), 4, "it must be from 1 to 10000000"),
        (("influence", "--workers", "many"), 4, "--workers 'many' is not an integer"),
        (("influence", "--dry-run=1"), 2, "--dry-run takes no value"),
        (("influence", "--layers", "conv1"), 2, "there is no option --layers; near are: "),
        (("influence", "stray"), 2, "nothing takes the argument stray"),
        (("find",), 2, "--region is missing"),
        (("jobs", "show"), 2, "ID is missing"),
        (("influnce",), 2, "there is no verb 'influnce'; near are: 'influence'"),
        (("jobs", "show", "7"), 3, "'operations/7' is not known"),
    ],
)
def test_what_cannot_be_done_is_one_line_with_its_exit_code(
    shell: Shell,
    arguments: tuple[object, ...],
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    if arguments[:2] == ("modules", "--k"):
        np.savez("maps.npz", maps=np.zeros((6, 2, 2)))
        arguments = ("modules", "--k", 7, "--maps", "maps.npz")
    found, line = shell.refused(*arguments)
    assert message in line
    assert found == code


def test_latents_that_do_not_fit_the_model_are_refused_by_name(
    shell: Shell, tmp_path: Path
) -> None:
    path = tmp_path / "latents.npz"
    np.savez(path, y=np.zeros((2, 6)))
    code, line = shell.refused("influence", "--latents1", path, "--latents2", path)
    assert code == 4
    assert "has no array 'z', which is an input of model 'toy'; it has: y" in line
    np.savez(path, z=np.full((2, 6), np.nan))
    code, line = shell.refused("influence", "--latents1", path, "--latents2", path)
    assert code == 4
    assert "latents.npz: latents 'z': 12 of 12 values are NaN or infinite" in line


def test_a_file_that_is_no_npz_or_lacks_the_array_is_refused(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "maps.npz"
    path.write_bytes(b"nothing of the kind")
    assert "is not an .npz file" in shell.refused("modules", "--maps", path)[1]
    np.savez(path, templates=np.zeros(3))
    assert "has no array 'maps'; it has: templates" in shell.refused("modules", "--maps", path)[1]


def test_what_the_server_lacks_is_said_with_exit_code_6(
    shell: Shell, server: tuple[str, Faults]
) -> None:
    message = "swap from 'image' is not implemented yet"
    server[1].refusals["Hybridize"] = (grpc.StatusCode.UNIMPLEMENTED, message, "X", "swap")
    assert shell.refused("hybridize", "--channels", 1) == (6, f"graftscope: {message}\n")


def test_what_is_large_is_told_before_it_is_moved(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shell("hybridize", "--channels", 0, "--pairs", 10)[2] == ""
    monkeypatch.setattr("graftscope.client.cli._output.LARGE_BYTES", 10_000)
    _, _, err = shell("hybridize", "--channels", 0, "--pairs", 10)
    assert err == "30 images to receive: 13.0 kB\n"


def test_a_deleted_job_is_known_no_more(shell: Shell) -> None:
    shell("influence", "--pairs", 3)
    assert shell("jobs", "delete", "1")[1] == "1 is deleted\n"
    assert shell.json("jobs", "list")["jobs"] == []
    assert shell.refused("jobs", "delete", "1")[0] == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("modules", "--k", 0), "k 0 is not allowed: it must be from 1"),
        (("modules", "--k", 65), "--k 65 is more than the 6 maps of layer 'intermediate'"),
        (("modules", "--seed", 2**32), "--seed 4294967296 is not allowed"),
        (("report", "--out", "told", "--k", 65), "k 65 is more than the 6 maps of layer 'coarse'"),
    ],
)
def test_a_grouping_that_cannot_be_is_refused_before_maps_are_computed(
    shell: Shell,
    arguments: tuple[object, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, line = shell.refused(*arguments)
    assert (code, message in line) == (4, True), line
    assert shell.json("jobs", "list")["jobs"] == []
