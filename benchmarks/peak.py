"""Peak memory of an influence job against its pairs, server and client in one process."""

import json
import subprocess
import sys
from collections.abc import Mapping

from benchmarks import markdown
from benchmarks.figures import exponent
from benchmarks.machine import Machine
from benchmarks.options import Options
from benchmarks.progress import say

MODEL, LEVEL = "vae-celeba", "intermediate"
PAIRS = (1_000, 10_000)
QUICK_PAIRS = (100, 200)
MOST_MB = 600

# The whole of what a user's process holds, and its largest resident set. Not getrusage's: that one
# remembers the process that started this one.
_CHILD = """
import json, sys, tempfile
from graftscope.client import Client
model, level, pairs, workers = sys.argv[1:]
with tempfile.TemporaryDirectory() as state, Client(workers=int(workers), state=state) as client:
    maps = client.influence(model, level, pairs=int(pairs)).maps
with open("/proc/self/status") as status:
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
print(json.dumps({"channels": len(maps), "peak_mb": peak * 1024 / 1e6}))
"""


def measure(options: Options, _: Machine) -> dict[str, object]:
    """A fresh process for every number of pairs."""
    found = {}
    for pairs in QUICK_PAIRS if options.quick else PAIRS:
        say(f"  {pairs} pairs")
        arguments = [MODEL, LEVEL, str(pairs), str(options.cores)]
        command = [sys.executable, "-c", _CHILD, *arguments]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        found[str(pairs)] = json.loads(done.stdout)
    return {"model": MODEL, "level": LEVEL, "workers": options.cores, "peaks": found}


def table(result: Mapping[str, object]) -> str:
    """One row a number of pairs, and how memory grows with it."""
    peaks = result["peaks"]
    assert isinstance(peaks, dict)
    rows = [
        [f"{int(pairs):,}", str(found["channels"]), f"{found['peak_mb']:.0f}", str(MOST_MB)]
        for pairs, found in peaks.items()
    ]
    heads = ["pairs", "channels", "largest resident set, MB", "may take"]
    grown = exponent([float(x) for x in peaks], [x["peak_mb"] for x in peaks.values()])
    where = f"{result['model']}, {result['level']}, {result['workers']} workers"
    grows = f"It grows with the number of pairs to the power of {markdown.power(grown)}."
    return f"{where}.\n\n{markdown.table(heads, rows)}\n\n{grows}"
