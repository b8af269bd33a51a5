"""The command: measures what is asked for, writes one JSON file, prints one document of tables."""

import argparse
import json
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.machine import Machine, this_machine
from benchmarks.options import Options
from benchmarks.progress import say
from benchmarks.sections import SECTIONS, Section
from benchmarks.setting import MODELS


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the sections in order.

    Raises:
        SystemExit: a section failed; the others ran.
    """
    given = _parser().parse_args(arguments)
    options = Options(
        tuple(given.model or MODELS),
        tuple(given.level or ()),
        given.quick,
        given.workers,
        given.brief,
    )
    machine = this_machine()
    results: dict[str, object] = {"machine": asdict(machine), "quick": options.quick}
    print(_head(machine, options), flush=True)
    failed = []
    for name in given.only or SECTIONS:
        say(f"{name} ...")
        started = time.perf_counter()
        found, text = _measured(SECTIONS[name], options, machine)
        seconds = round(time.perf_counter() - started, 1)
        say(f"{name}: {seconds} s")
        failed += [name] if "error" in found else []
        results[name] = {"seconds": seconds, **found}
        given.json.write_text(json.dumps(results, indent=2) + "\n")
        print(f"\n## {SECTIONS[name].title}\n\n{text}", flush=True)
    say(f"figures: {given.json}")
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


def _measured(
    section: Section, options: Options, machine: Machine
) -> tuple[dict[str, object], str]:
    """A section's figures and table, or its error: others need not be measured again for it."""
    try:
        result = section.measure(options, machine)
        return {"result": result}, section.table(result)
    except Exception as error:
        traceback.print_exc()
        return {"error": str(error)}, f"Failed: {error}."


def _head(machine: Machine, options: Options) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    quick = " A quick look: too short for figures." if options.quick else ""
    return f"Measured on {machine}; {versions}. Median (lowest-highest).{quick}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(SECTIONS), help="sections; default: all")
    parser.add_argument("--model", nargs="+", choices=MODELS, help="generators; default: all")
    parser.add_argument("--level", nargs="+", help="levels; default: all of each generator")
    parser.add_argument("--quick", action="store_true", help="a short look, not for figures")
    parser.add_argument(
        "--brief",
        action="store_true",
        help="influence: float32 alone, PyTorch with hooks but not compiled",
    )
    parser.add_argument("--workers", type=_count, default=0, help="cores; default: all")
    parser.add_argument("--json", type=Path, default=Path("bench.json"), help="where figures go")
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} workers are not allowed; at least 1")
    return number


if __name__ == "__main__":
    main()
