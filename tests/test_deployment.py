"""What is in `deploy/` fits together, and the programs that read it accept it."""

import json
import re
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from graftscope.client.cli import run
from graftscope.client.errors import (
    InputError,
    NotFoundError,
    OutputError,
    UnsupportedError,
    UsageError,
)
from graftscope.client.wire import error_class

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
OPERATIONS = ROOT / "docs" / "operations.md"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
REPLICAS = ("replica-1", "replica-2")
PORTS = {"grpc": 50051, "health": 50052, "metrics": 9464}


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As an operator makes them, for a name and an address."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl (Debian: apt-get install openssl)")
    folder = tmp_path_factory.mktemp("deployment") / "secrets"
    subprocess.run([DEPLOY / "secrets.sh", folder, "lab.example", "192.0.2.7"], check=True)
    return folder


def made_again(secrets: Path, *names: str) -> "subprocess.CompletedProcess[str]":
    command = [str(DEPLOY / "secrets.sh"), str(secrets), *names]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def kubernetes(kind: str) -> dict[str, Any]:
    """The one object of a kind."""
    every = (
        each
        for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
        for each in yaml.safe_load_all(path.read_text())
    )
    found: dict[str, Any] = next(each for each in every if each["kind"] == kind)
    return found


def container() -> dict[str, Any]:
    (found,) = kubernetes("Deployment")["spec"]["template"]["spec"]["containers"]
    return dict(found)


def seconds(text: object) -> float:
    return float(str(text).removesuffix("s"))


def test_whatever_ends_a_replica_waits_longer_than_its_grace() -> None:
    for name in REPLICAS:
        replica = COMPOSE["services"][name]
        assert seconds(replica["stop_grace_period"]) > seconds(
            replica["environment"]["GRAFTSCOPE_GRACE_S"]
        )
    spec = kubernetes("Deployment")["spec"]["template"]["spec"]
    grace = next(x["value"] for x in container()["env"] if x["name"] == "GRAFTSCOPE_GRACE_S")
    (_, pause) = container()["lifecycle"]["preStop"]["exec"]["command"]
    assert spec["terminationGracePeriodSeconds"] > seconds(grace) + seconds(pause)
    unit = (DEPLOY / "systemd" / "graftscope.service").read_text()
    assert re.search(r"^TimeoutStopSec=40s$", unit, re.M)


def test_a_replica_can_write_to_nothing_but_its_state_and_tmp() -> None:
    for name in REPLICAS:
        replica = COMPOSE["services"][name]
        assert replica["read_only"]
        assert replica["tmpfs"] == ["/tmp"]
        assert replica["volumes"] == ["state:/var/lib/graftscope"]
        assert replica["cap_drop"] == ["ALL"]
    assert container()["securityContext"]["readOnlyRootFilesystem"]
    writable = {x["mountPath"] for x in container()["volumeMounts"] if not x.get("readOnly")}
    assert writable == {"/tmp", "/var/lib/graftscope"}


def test_probes_balancer_and_image_ask_the_port_that_the_server_has_for_it() -> None:
    image = (DEPLOY / "Dockerfile").read_text()
    assert f"GRAFTSCOPE_LISTEN=0.0.0.0:{PORTS['grpc']}" in image
    assert f"GRAFTSCOPE_HEALTH=0.0.0.0:{PORTS['health']}" in image
    probes = [container()[f"{name}Probe"]["grpc"] for name in ("startup", "readiness", "liveness")]
    assert probes == 3 * [{"port": PORTS["health"]}]
    assert {x["name"]: x["containerPort"] for x in container()["ports"]} == PORTS
    balancer = COMPOSE["services"]["balancer"]["environment"]
    assert {balancer["HEALTH_1"], balancer["HEALTH_2"]} == {str(PORTS["health"])}
    read = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    (targets,) = read["scrape_configs"][0]["static_configs"]
    assert targets["targets"] == [f"{name}:{PORTS['metrics']}" for name in REPLICAS]


def test_the_script_sets_of_a_replica_what_the_compose_file_sets() -> None:
    script = (DEPLOY / "try.py").read_text()
    for name in COMPOSE["services"]["replica-1"]["environment"]:
        assert f'"{name}"' in script


def test_every_file_that_is_named_is_made_or_there(secrets: Path) -> None:
    for each in COMPOSE["secrets"].values():
        assert (secrets / Path(each["file"]).name).is_file()
    listed = yaml.safe_load((DEPLOY / "kubernetes" / "kustomization.yaml").read_text())
    for each in listed["resources"]:
        assert (DEPLOY / "kubernetes" / each).is_file()
    mounted = (x for service in COMPOSE["services"].values() for x in service.get("volumes", ()))
    for each in mounted:
        if each.startswith("./"):
            assert (DEPLOY / each.partition(":")[0]).exists(), each


@pytest.mark.parametrize("kind", ["bundles", "cuda"])
def test_what_is_added_to_the_compose_file_is_added_to_both_replicas(kind: str) -> None:
    added = yaml.safe_load((DEPLOY / f"compose.{kind}.yaml").read_text())["services"]
    assert set(added) == set(REPLICAS)
    assert added["replica-1"] == added["replica-2"]


def test_bundles_are_read_where_their_folder_is_mounted_and_cannot_be_written() -> None:
    added = yaml.safe_load((DEPLOY / "compose.bundles.yaml").read_text())["services"]["replica-1"]
    (mounted,) = added["volumes"]
    assert mounted.endswith(f":{added['environment']['GRAFTSCOPE_BUNDLES']}:ro")


def test_the_image_for_gpus_is_what_the_dockerfile_calls_so() -> None:
    added = yaml.safe_load((DEPLOY / "compose.cuda.yaml").read_text())["services"]["replica-1"]
    target = added["build"]["target"]
    assert f"FROM runtime AS {target}\n" in (DEPLOY / "Dockerfile").read_text()
    assert added["image"] == f"graftscope:{target}"


def test_the_certificates_are_of_their_authority_and_for_the_names_that_are_called(
    secrets: Path,
) -> None:
    for part, names in {
        "balancer": ["-verify_hostname=lab.example", "-verify_ip=192.0.2.7"],
        "replica": [f"-verify_hostname={x}" for x in ("replica", *REPLICAS)],
    }.items():
        for name in names:
            asked = ["openssl", "verify", "-CAfile", "ca.pem", *name.split("="), f"{part}.pem"]
            done = subprocess.run(asked, cwd=secrets, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
    assert (secrets.stat().st_mode & 0o777) == 0o700


def test_secrets_that_are_there_stay_as_they_are(secrets: Path) -> None:
    before = {path.name: path.read_bytes() for path in secrets.iterdir()}
    again = made_again(secrets, "192.0.2.7", "lab.example")
    assert (again.returncode, again.stderr) == (0, "")
    assert {path.name: path.read_bytes() for path in secrets.iterdir()} == before


@pytest.mark.parametrize("name", ["other.example", "192.0.2.8"])
def test_a_certificate_that_is_there_and_not_for_a_name_is_an_error(
    secrets: Path, name: str
) -> None:
    again = made_again(secrets, "lab.example", name)
    assert again.returncode == 1
    assert f"balancer.pem is not for {name}: remove it" in again.stderr


def test_a_certificate_that_is_removed_is_made_again_and_the_authority_stays(
    secrets: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(secrets, tmp_path / "secrets")
    (copy / "balancer.pem").unlink()
    assert made_again(copy, "other.example").returncode == 0
    assert (copy / "ca.pem").read_bytes() == (secrets / "ca.pem").read_bytes()
    asked = ["openssl", "verify", "-CAfile", "ca.pem", "-verify_hostname", "other.example"]
    subprocess.run([*asked, "balancer.pem"], cwd=copy, check=True, stdout=subprocess.DEVNULL)


def test_a_certificate_that_ends_within_a_month_is_told_of(secrets: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(secrets, tmp_path / "secrets")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=balancer"]
    files = ["-keyout", "balancer.pem.key", "-out", "balancer.pem"]
    made = [*command, "-days", "29", "-addext", "subjectAltName=DNS:lab.example", *files]
    subprocess.run(made, cwd=copy, check=True, stderr=subprocess.DEVNULL)
    again = made_again(copy, "lab.example")
    assert again.returncode == 0
    (warning,) = again.stderr.splitlines()
    assert re.search(r"^warning: .*/balancer\.pem ends on \w+ +\d+ .* GMT$", warning)


def test_haproxy_accepts_its_configuration(secrets: Path) -> None:
    haproxy = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if haproxy is None:
        pytest.skip("needs HAProxy (Debian: apt-get install haproxy)")
    environment = {
        **COMPOSE["services"]["balancer"]["environment"],
        "REPLICA_1": "127.0.0.1:50051",
        "REPLICA_2": "127.0.0.1:50053",
        "SECRETS": str(secrets),
    }
    checked = subprocess.run(
        [haproxy, "-c", "-f", DEPLOY / "haproxy.cfg"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    assert "WARNING" not in checked.stderr


def test_kubernetes_monitor_and_ingress_name_what_is_there() -> None:
    labels = kubernetes("Deployment")["spec"]["template"]["metadata"]["labels"]
    monitor = kubernetes("PodMonitor")["spec"]
    assert monitor["selector"]["matchLabels"] == labels
    # What the alerts ask for.
    assert labels[monitor["jobLabel"]] == "graftscope"
    assert monitor["podMetricsEndpoints"] == [{"port": "metrics"}]
    service, ingress = kubernetes("Service"), kubernetes("Ingress")
    (path,) = ingress["spec"]["rules"][0]["http"]["paths"]
    backend = path["backend"]["service"]
    assert backend["name"] == service["metadata"]["name"]
    assert backend["port"]["name"] in {x["name"] for x in service["spec"]["ports"]}
    annotations = {x.rpartition("/")[2]: y for x, y in ingress["metadata"]["annotations"].items()}
    assert annotations["backend-protocol"] == "GRPCS"
    assert int(annotations["proxy-read-timeout"]) >= 3600


def test_the_page_calls_services_volumes_and_files_of_compose_as_they_are_called() -> None:
    commands = re.findall(r"```sh\n(.*?)```", OPERATIONS.read_text(), re.S)
    page = "\n".join(commands).replace("\\\n", " ")
    called = re.findall(r"exec -T (\S+)|(?:restart|--no-deps|--entrypoint tar) (replica\S+)", page)
    assert {one or other for one, other in called} == {"postgres", *REPLICAS}
    volumes = re.findall(
        r"graftscope_(\w+)", OPERATIONS.read_text().split("### Restore compose")[1]
    )
    assert {"state", "database"} <= set(volumes) & set(COMPOSE["volumes"])
    for file in re.findall(r"deploy/[\w/]+\.(?:yaml|toml|service|sysusers)\b", page):
        assert (ROOT / file).is_file(), file


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze (Debian: apt-get install systemd)")
    unit = (DEPLOY / "systemd" / "graftscope.service").read_text()
    copy = tmp_path / "graftscope.service"
    # The program need not be installed here.
    copy.write_text(unit.replace("/opt/graftscope/bin/graftscope", "/bin/true"))
    checked = subprocess.run(
        ["systemd-analyze", "verify", copy], capture_output=True, text=True, check=False
    )
    # It warns of what it does not know, and ends with 0 all the same.
    assert (checked.returncode, checked.stderr) == (0, "")


def test_systemd_starts_again_what_another_start_may_mend_and_nothing_else() -> None:
    unit = (DEPLOY / "systemd" / "graftscope.service").read_text()
    (given,) = re.findall(r"^RestartPreventExitStatus=(.*)$", unit, re.M)
    for_good = {UsageError, NotFoundError, InputError, OutputError, UnsupportedError}
    assert {int(x) for x in given.split()} == {x.exit_code for x in for_good}
    # A port that is taken, and a database that does not answer.
    for reason in ("ADDRESS_IN_USE", "STATE_IN_USE", "STORE_UNAVAILABLE"):
        assert str(error_class(None, reason).exit_code) not in given.split()


def test_the_example_of_settings_for_systemd_is_taken_and_serves_what_comes_along(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copy(DEPLOY / "systemd" / "graftscope.toml", tmp_path)
    assert run(["serve", "--config", str(copy), "--print-config", "--json"]) == 0
    settings = json.loads(capsys.readouterr().out)
    assert settings["tls_cert"]["value"] == str(tmp_path / "server.pem")
    assert settings["bundles"]["from"] == "default"
    unit = (DEPLOY / "systemd" / "graftscope.service").read_text()
    assert settings["state"]["value"] == "/var/lib/graftscope"
    assert "StateDirectory=graftscope\n" in unit


def test_the_balancers_question_is_that_of_grpc_health() -> None:
    sent = re.findall("tcp-check send-binary ([0-9a-f]+)", (DEPLOY / "haproxy.cfg").read_text())
    frames = bytes.fromhex("".join(sent)).removeprefix(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    kinds, rest = [], frames
    while rest:
        length, kind = int.from_bytes(rest[:3], "big"), rest[3]
        kinds.append((kind, rest[9 : 9 + length]))
        rest = rest[9 + length :]
    settings, headers, data = kinds
    assert settings == (4, b"")
    assert headers[0] == 1
    assert b"/grpc.health.v1.Health/Check" in headers[1]
    # Not compressed, and empty.
    assert data == (0, bytes(5))


def test_the_script_says_what_it_needs() -> None:
    script = runpy.run_path(str(DEPLOY / "try.py"))
    assert "apt-get install postgresql haproxy openssl" in script["__doc__"]
