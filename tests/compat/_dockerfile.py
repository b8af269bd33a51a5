"""A Dockerfile that is carried out without Docker, as root on Linux.

Each stage is an overlay on this machine's own files, so that it holds what its instructions add.
The base image's Python is a copy of this one's, in /usr/local, without packages but pip.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pip

_TIMEOUT_S = 900.0
# The loader finds a shared library of Python there without being told, in the image.
_BASE = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LD_LIBRARY_PATH": "/usr/local/lib"}


@dataclass
class Stage:
    """A stage of a build.

    Attributes:
        layers: folders of what is added to this machine's files, the last first.
        environment: of its processes.
        workdir: where they run.
        settings: the arguments of USER, ENTRYPOINT, CMD, HEALTHCHECK and so on, the last of each.
        labels: names and values.
    """

    layers: list[Path]
    environment: dict[str, str]
    workdir: str = "/"
    settings: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


class Build:
    """Carries out the stages that a target needs.

    Args:
        dockerfile: its path.
        context: the folder that COPY takes files from.
        folder: an empty one, for the layers; not on an overlay itself.
    """

    def __init__(self, dockerfile: Path, context: Path, folder: Path) -> None:
        self._context, self._folder = context, folder
        self._stages: dict[str, Stage] = {}
        self._text: dict[str, list[tuple[str, str]]] = {}
        self._globals: dict[str, str] = {}
        self._base = _python_image(folder / "base")
        self._read(dockerfile.read_text())

    def stage(self, name: str) -> Stage:
        """A stage, carried out once."""
        if name not in self._text:
            return Stage([self._base], dict(_BASE))
        if name not in self._stages:
            self._stages[name] = self._carried_out(name)
        return self._stages[name]

    def _read(self, text: str) -> None:
        lines = re.sub(r"^\s*#.*\n", "", text, flags=re.M).replace("\\\n", " ")
        name = ""
        for line in filter(None, map(str.strip, lines.splitlines())):
            word, _, rest = line.partition(" ")
            if word == "FROM":
                base, _, name = rest.partition(" AS ")
                self._text[name] = [("FROM", base)]
            elif name:
                self._text[name].append((word, rest.strip()))
            elif word == "ARG":
                key, _, value = rest.partition("=")
                self._globals[key] = value

    def _carried_out(self, name: str) -> Stage:
        (_, base), *steps = self._text[name]
        before = self.stage(_expanded(base, self._globals))
        layer = self._folder / name
        layer.mkdir()
        stage = Stage(
            [layer, *before.layers],
            dict(before.environment),
            before.workdir,
            dict(before.settings),
            dict(before.labels),
        )
        given: dict[str, str] = {}
        for word, rest in steps:
            self._step(stage, given, word, rest)
        return stage

    def _step(self, stage: Stage, given: dict[str, str], word: str, rest: str) -> None:
        known = {**given, **stage.environment}
        if word == "ARG":
            key, _, value = rest.partition("=")
            given[key] = _expanded(value, known)
        elif word in ("ENV", "LABEL"):
            pairs = (each.partition("=") for each in shlex.split(_expanded(rest, known)))
            target = stage.environment if word == "ENV" else stage.labels
            target.update({key: value for key, _, value in pairs})
        elif word == "WORKDIR":
            stage.workdir = rest
            (stage.layers[0] / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif word == "COPY":
            self._copy(stage, shlex.split(rest))
        elif word == "RUN":
            run(stage, ["sh", "-c", rest], known, writable=True)
        else:
            stage.settings[word] = rest

    def _copy(self, stage: Stage, words: list[str]) -> None:
        sources = [self._context]
        if words[0].startswith("--from="):
            # The lowest first, so that what is above it lasts. A stage that removes what an earlier
            # one made is not among ours.
            sources = self.stage(words.pop(0).removeprefix("--from=")).layers[:-1][::-1]
        *froms, to = words
        place = stage.layers[0] / (to if to.startswith("/") else f"{stage.workdir}/{to}").lstrip(
            "/"
        )
        for each in (source / one.lstrip("/") for one in froms for source in sources):
            target = place / each.name if to.endswith("/") or len(froms) > 1 else place
            target.parent.mkdir(parents=True, exist_ok=True)
            if each.is_dir():
                ignored = shutil.ignore_patterns("__pycache__") if len(sources) == 1 else None
                shutil.copytree(each, target, symlinks=True, ignore=ignored, dirs_exist_ok=True)
            elif each.exists():
                shutil.copy2(each, target)


def run(
    stage: Stage,
    command: Sequence[str],
    environment: dict[str, str],
    *,
    writable: bool = False,
    volumes: dict[str, Path] | None = None,
    user: str | None = None,
) -> "subprocess.CompletedProcess[str]":
    """Runs a command in a stage; without `writable` its file system is read-only but for /tmp.

    Raises:
        AssertionError: the command failed, with what it said.
    """
    done = subprocess.run(
        inside(stage, command, writable=writable, volumes=volumes, user=user),
        env={**_WAYS_OUT, **environment},
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done


def inside(
    stage: Stage,
    command: Sequence[str],
    *,
    writable: bool = False,
    volumes: dict[str, Path] | None = None,
    user: str | None = None,
) -> list[str]:
    """The command that runs another inside a stage."""
    root = "/mnt"
    lower = ":".join(map(str, [*(stage.layers[1:] if writable else stage.layers), "/"]))
    options = f"lowerdir={lower}"
    if writable:
        work = stage.layers[0].with_name(stage.layers[0].name + ".work")
        work.mkdir(exist_ok=True)
        options += f",upperdir={stage.layers[0]},workdir={work}"
    steps = ["set -e", f"mount -t overlay overlay -o {options} {root}"]
    steps += [f"mount --rbind /{each} {root}/{each}" for each in ("dev", "sys")]
    steps += [f"mount -t proc proc {root}/proc", f"mount -t tmpfs tmpfs {root}/tmp"]
    steps += [f"mount --bind {path} {root}{place}" for place, path in (volumes or {}).items()]
    drop = ""
    if user is not None:
        owner, _, group = user.partition(":")
        drop = f"setpriv --reuid {owner} --regid {group} --clear-groups --no-new-privs "
        drop += "--bounding-set=-all --inh-caps=-all "
    chroot = shutil.which("chroot", path="/usr/sbin:/usr/bin")
    steps.append(f'exec {chroot} {root} {drop}sh -c \'cd {stage.workdir} && exec "$@"\' sh "$@"')
    return [
        *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c"),
        *("\n".join(steps), "sh", *command),
    ]


def words(argument: str) -> list[str]:
    """The command of an ENTRYPOINT, a CMD or a HEALTHCHECK, which are lists of JSON."""
    found: list[str] = json.loads(argument[argument.index("[") :])
    return found


def size_bytes(folder: Path) -> int:
    """What the files of a layer take, as an image counts them."""
    return sum(
        (Path(parent) / name).lstat().st_size
        for parent, _, names in os.walk(folder)
        for name in names
    )


# How pip reaches a package index from here.
_WAYS_OUT = {
    name: value
    for name, value in os.environ.items()
    if re.search("proxy|^PIP_|^SSL_|_CA_BUNDLE", name, re.I)
}


def _python_image(layer: Path) -> Path:
    """What the base image adds to a bare system: Python in /usr/local, and pip."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    home, library = layer / "usr/local", Path(sysconfig.get_path("stdlib"))
    (home / "bin").mkdir(parents=True)
    target = home / "lib" / version
    unwanted = shutil.ignore_patterns("site-packages", "test", "__pycache__")
    shutil.copytree(library, target, ignore=unwanted)
    executable = Path(sys.base_prefix) / "bin" / version
    for name in (version, "python3", "python"):
        shutil.copy2(executable, home / "bin" / name)
    for each in (Path(sys.base_prefix) / "lib").glob("libpython3*.so*"):
        shutil.copy2(each, home / "lib" / each.name)
    packages = target / "site-packages"
    shutil.copytree(Path(pip.__file__).parent, packages / "pip", ignore=unwanted)
    return layer


def _expanded(text: str, values: dict[str, str]) -> str:
    return re.sub(r"\$\{(\w+)\}", lambda each: values.get(each[1], each[0]), text)
