"""The manifests fit the published schemas of Kubernetes and of Compose."""

import shutil
import subprocess
from pathlib import Path

import pytest

from compat._environments import ROOT, Environment, environment

pytestmark = pytest.mark.compat
DEPLOY = ROOT / "deploy"
# No published schema: of kustomize and of the operator of Prometheus.
OTHERS = ("kustomization.yaml", "podmonitor.example.yaml")
MANIFESTS = sorted(x for x in (DEPLOY / "kubernetes").glob("*.yaml") if x.name not in OTHERS)
VERSIONS = ("1.30", "1.37")
CHECK = """
import sys, kubernetes_validate, yaml
for version in sys.argv[2:]:
    for each in yaml.safe_load_all(open(sys.argv[1])):
        kubernetes_validate.validate(each, version, strict=True)
"""


@pytest.fixture(scope="module")
def validators() -> Environment:
    return environment(("kubernetes-validate==1.37.0", "check-jsonschema==0.39.0"))


def check(validators: Environment, text: Path) -> "subprocess.CompletedProcess[str]":
    command = [str(validators.python), "-c", CHECK, str(text), *VERSIONS]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda x: x.name)
def test_kubernetes_takes_every_manifest(validators: Environment, manifest: Path) -> None:
    checked = check(validators, manifest)
    assert checked.returncode == 0, checked.stderr


def test_a_key_that_kubernetes_does_not_know_is_found(
    validators: Environment, tmp_path: Path
) -> None:
    wrong = tmp_path / "deployment.yaml"
    wrong.write_text(
        (DEPLOY / "kubernetes" / "deployment.yaml").read_text().replace("grpc:", "gprc:", 1)
    )
    assert "gprc" in check(validators, wrong).stderr


def test_compose_takes_its_file_and_what_is_added_to_it(validators: Environment) -> None:
    command = [str(validators.python.parent / "check-jsonschema"), "--builtin-schema"]
    checked = subprocess.run(
        [*command, "vendor.compose-spec", *map(str, DEPLOY.glob("compose*.yaml"))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


def test_kustomize_joins_the_manifests(validators: Environment, tmp_path: Path) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("needs kubectl, which brings kustomize")
    joined = tmp_path / "joined.yaml"
    command = ["kubectl", "kustomize", str(DEPLOY / "kubernetes")]
    joined.write_bytes(subprocess.run(command, capture_output=True, check=True).stdout)
    checked = check(validators, joined)
    assert checked.returncode == 0, checked.stderr
    assert "graftscope:cpu" in joined.read_text()
