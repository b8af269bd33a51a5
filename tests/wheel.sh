#!/usr/bin/env bash
# Builds the wheel and uses it in an environment with nothing but its base dependencies:
# the client imports, its command answers, the contract and the bundles are inside, torch is not.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$root/.venv/bin/python" -m build --wheel --outdir "$work/dist" "$root" >"$work/log" 2>&1 || {
    cat "$work/log" >&2
    exit 1
}
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    --constraint "$root/constraints.txt" "$work"/dist/*.whl
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import importlib.util
import sys
from pathlib import Path

import graftscope.client

heavy = {"torch", "onnxruntime", "sklearn", "matplotlib"} & set(sys.modules)
assert not heavy, f"importing the client pulled {heavy}"
assert importlib.util.find_spec("torch") is None, "the base install brings torch"
package = Path(graftscope.client.__file__).parents[1]
needed = ["v1/analysis_service.proto", "bundle/shipped/vae-celeba/weights.bin", "explorer/static/index.html"]
needed += [f"{room}/py.typed" for room in "client explorer server training exporter bundle graph codec v1".split()]
missing = [name for name in needed if not (package / name).is_file()]
assert not missing, f"the wheel lacks {missing}"
assert not (package / "__init__.py").exists(), "graftscope is a namespace package"
PYTHON
"$work/venv/bin/graftscope" --help >/dev/null
echo "wheel: $(ls "$work/dist") imports without extras"
