"""Facts about completion: what each shell asks of the command, and the shells themselves."""

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

SHELLS = ("bash", "zsh", "fish")
COMMAND = Path(sys.executable).with_name("graftscope")
PATIENCE_S = 60.0
"""A shell that has said nothing for so long has nothing to say."""

# The shells call `graftscope`, which stands beside the interpreter, on the path or not.
WITH_COMMAND = {
    **os.environ,
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
}


def said(environment: dict[str, str]) -> str:
    """What the command prints where a shell calls it."""
    done = subprocess.run(
        [COMMAND], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return done.stdout


def script(shell: str) -> str:
    return said({"_GRAFTSCOPE_COMPLETE": f"source_{shell}"})


CASES = [
    ("graftscope inf", "influence"),
    ("graftscope jobs wa", "watch"),
    ("graftscope influence --prec", "--precision"),
    ("graftscope influence --precision tf", "tf32"),
    ("graftscope stability --method nmf,spec", "nmf,spectral"),
    ("graftscope reproduce fig2", "fig2b"),
    ("graftscope serve --device cu", "cuda"),
]


@pytest.mark.parametrize(("line", "expected"), CASES)
def test_verbs_options_and_words_are_completed(line: str, expected: str) -> None:
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
    assert said({"_GRAFTSCOPE_COMPLETE": "complete_bash", **words}).split() == [expected]


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_has_a_script(shell: str) -> None:
    assert f"_GRAFTSCOPE_COMPLETE=complete_{shell}" in script(shell)


def test_bash_completes_with_its_script(tmp_path: Path) -> None:
    (tmp_path / "completion").write_text(script("bash"))
    code = f"""
        . {tmp_path}/completion
        COMP_WORDS=(graftscope influence --precision b); COMP_CWORD=3
        _graftscope_completion graftscope; echo "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "-c", code], env=WITH_COMMAND, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "bf16"


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_completes_with_its_script(tmp_path: Path) -> None:
    (tmp_path / "completion.fish").write_text(script("fish"))
    code = f"source {tmp_path}/completion.fish; complete -C 'graftscope influence --precision b'"
    done = subprocess.run(
        ["fish", "-c", code],
        env={**WITH_COMMAND, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "bf16"


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_completes_with_its_script(tmp_path: Path) -> None:
    """zsh completes only at a prompt, so it gets a terminal."""
    (tmp_path / "completion").write_text(script("zsh"))
    (tmp_path / ".zshrc").write_text(
        f"PS1='> '; autoload -Uz compinit; compinit -u -D; . {tmp_path}/completion\n"
    )
    child, terminal = pty.fork()
    if child == 0:
        home = str(tmp_path)
        os.execvpe("zsh", ["zsh", "-i"], {**WITH_COMMAND, "ZDOTDIR": home, "TERM": "dumb"})
    try:
        until(terminal, "> ")
        os.write(terminal, b"graftscope influence --precision b\t")
        assert "bf16" in until(terminal, "bf16")
    finally:
        os.close(terminal)
        os.waitpid(child, 0)


def until(terminal: int, wanted: str) -> str:
    """What a terminal shows until something stands there."""
    shown, end = "", time.monotonic() + PATIENCE_S
    while wanted not in shown and time.monotonic() < end:
        if select.select([terminal], [], [], 1.0)[0]:
            shown += os.read(terminal, 4096).decode(errors="replace")
    return shown
