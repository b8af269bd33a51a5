"""Weights for a module: the state dict in a file that fits it, wherever the file keeps it.

    note = load_weights(module, "checkpoint.pt:g_ema")

Rules
1. `FILE:KEY` names a dictionary in the file, or what the meant tensors' names begin with; `KEY.KEY`
   goes deeper. Without a key all dictionaries are tried.
2. In each, everything that names may begin with is tried, such as `module.` or `generator.`; what
   lies beside it belongs to others. Names may also lack what all of the module's begin with.
3. It fits if every tensor of the module is there in its shape, and no other. BatchNorm's counters
   may lack or be left over, since evaluation reads none; of tensors that the module shares, one is
   enough.
4. Where nothing fits, steps that wrappers put inside of names are left out, and it is tried again.
5. Several that fit are asked about; one is taken, and what was found is said.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Final

from torch import Tensor, nn

from graftscope.exporter.errors import SourceError
from graftscope.exporter.sources._weight_files import Tensors, read_tensors, split_key

_COUNTER: Final = "num_batches_tracked"
_WRAPPERS: Final = ("module", "_orig_mod")
_SHOWN: Final = 3
_SETS_SHOWN: Final = 6


@dataclass(frozen=True)
class _Fit:
    """Tensors of a file beside those of a module.

    Attributes:
        key: Where their dictionary lies in the file.
        prefix: What their names begin with beyond the module's own.
        tensors: They, by the module's names.
        missing: The module's names that are not among them; counters are left out.
        unexpected: Their names that the module does not have, likewise.
        reshaped: Those of another shape, with both.
        beside: How many of the dictionary have another prefix.
        counters: Whether the module's counters are not among them.
        rewrapped: Whether steps of wrappers were left out of names.
    """

    key: str
    prefix: str
    tensors: Tensors
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    reshaped: tuple[str, ...]
    beside: int
    counters: bool
    rewrapped: bool

    @property
    def distance(self) -> int:
        return len(self.missing) + len(self.unexpected) + len(self.reshaped)

    @property
    def place(self) -> str:
        """The key that names exactly these tensors."""
        return ".".join(part for part in (self.key, self.prefix.rstrip(".")) if part)


def load_weights(module: nn.Module, text: str | Path) -> tuple[str, ...]:
    """Fill a module's parameters and buffers, in place.

    Args:
        module: The module.
        text: `FILE` or `FILE:KEY`: a Safetensors file or one of `torch.save`, and the dictionary
            in it, or what the names of its tensors begin with.

    Returns:
        What was found where the user did not say it, at most one line.

    Raises:
        SourceNotFoundError: If there is no such file.
        SourceError: If it cannot be read, has nothing at the key, its tensors are not the module's,
            or several sets of them are.
    """
    path, key = split_key(str(text))
    dictionaries = read_tensors(path)
    chosen = _at(path, dictionaries, key) if key else dictionaries
    fit = _only_fit(path, key, module, chosen)
    module.load_state_dict(fit.tensors, strict=False)
    note = _note(path, fit, asked=fit.key == key)
    return (note,) if note else ()


def _at(path: Path, dictionaries: Mapping[str, Tensors], key: str) -> dict[str, Tensors]:
    """Return what a key names: dictionaries, or the tensors of one whose names begin with it."""
    below = {
        place: tensors
        for place, tensors in dictionaries.items()
        if place == key or place.startswith(f"{key}.")
    }
    if below:
        return below
    for place, tensors in dictionaries.items():
        start = key.removeprefix(f"{place}.") if place else key
        named = {
            name.removeprefix(f"{start}."): tensor
            for name, tensor in tensors.items()
            if name.startswith(f"{start}.")
        }
        if named and (not place or start != key):
            return {key: named}
    raise SourceError(f"weights {str(path)!r} have no {key!r}; they hold: {_held(dictionaries)}")


def _only_fit(path: Path, key: str, module: nn.Module, dictionaries: Mapping[str, Tensors]) -> _Fit:
    nearest: list[_Fit] = []
    for without in (_as_is, _without_wrappers):
        tried = list(_compared(module, dictionaries, without))
        fitting = _different(each for each in tried if each.distance == 0)
        if len(fitting) > 1:
            raise _ambiguous(path, module, fitting)
        if fitting:
            return fitting[0]
        nearest += tried
    closest = min(nearest, key=lambda fit: (len(fit.missing), fit.distance))
    raise _refusal(path, key, module, dictionaries, closest)


def _different(fits: Iterable[_Fit]) -> list[_Fit]:
    """Drop what is the same tensors once more, under a longer prefix."""
    different: dict[frozenset[int], _Fit] = {}
    for fit in fits:
        different.setdefault(frozenset(map(id, fit.tensors.values())), fit)
    return list(different.values())


def _compared(
    module: nn.Module, dictionaries: Mapping[str, Tensors], without: Callable[[str], str]
) -> Iterator[_Fit]:
    own = {name: each for name, each in module.state_dict().items() if isinstance(each, Tensor)}
    short = {without(name): name for name in own}
    for key, tensors in dictionaries.items():
        given = {without(name): tensor for name, tensor in tensors.items()}
        if len(short) < len(own) or len(given) < len(tensors):
            continue  # names are no longer unique
        rewrapped = any(without(name) != name for name in (*own, *tensors))
        for added in _common_starts(short):
            wanted = {name.removeprefix(added): own[full] for name, full in short.items()}
            full = {name.removeprefix(added): whole for name, whole in short.items()}
            for prefix in _prefixes(wanted, given):
                yield _compare(key, prefix, wanted, full, given, rewrapped=rewrapped)


def _compare(
    key: str,
    prefix: str,
    wanted: Tensors,
    full: Mapping[str, str],
    given: Tensors,
    *,
    rewrapped: bool,
) -> _Fit:
    under = {
        name.removeprefix(prefix): tensor
        for name, tensor in given.items()
        if name.startswith(prefix)
    }
    there = {tensor.data_ptr() for name, tensor in wanted.items() if name in under}
    absent = [name for name in wanted if name not in under]
    missing = [
        name
        for name in absent
        if not _counts(name) and (not wanted[name].numel() or wanted[name].data_ptr() not in there)
    ]
    reshaped = [
        f"{name} {tuple(under[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in under and under[name].shape != tensor.shape
    ]
    return _Fit(
        key=key,
        prefix=prefix,
        tensors={full[name]: tensor for name, tensor in under.items() if name in wanted},
        missing=tuple(missing),
        unexpected=tuple(name for name in under if name not in wanted and not _counts(name)),
        reshaped=tuple(reshaped),
        beside=len(given) - len(under),
        counters=any(map(_counts, absent)),
        rewrapped=rewrapped,
    )


def _prefixes(wanted: Iterable[str], given: Iterable[str]) -> list[str]:
    """Return what names may begin with so that the rest is a wanted one; '' is among them."""
    known = set(wanted)
    found = {"": None}
    for name in given:
        parts = name.split(".")
        for count in range(1, len(parts)):
            if ".".join(parts[count:]) in known:
                found[".".join(parts[:count]) + "."] = None
    return list(found)


def _common_starts(names: Iterable[str]) -> list[str]:
    """Return '' and every path that all names begin with, such as 'model.'."""
    levels = zip(*(name.split(".")[:-1] for name in names), strict=False)
    shared = [level[0] for level in takewhile(lambda level: len(set(level)) == 1, levels)]
    return ["", *(".".join(shared[: count + 1]) + "." for count in range(len(shared)))]


def _as_is(name: str) -> str:
    return name


def _without_wrappers(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def _counts(name: str) -> bool:
    return name.rpartition(".")[2] == _COUNTER


def _note(path: Path, fit: _Fit, *, asked: bool) -> str:
    """Say what was found where the user did not say it; empty where there is nothing to say."""
    facts = [
        f"prefix {fit.prefix!r} stripped" if fit.prefix else "",
        f"{fit.beside} tensors beside it left alone" if fit.beside else "",
        "steps 'module' and '_orig_mod' left out of names" if fit.rewrapped else "",
        "without BatchNorm's counters, which are not needed" if fit.counters else "",
    ]
    told = "; ".join(fact for fact in facts if fact)
    if asked and not told:
        return ""
    found = f"{fit.key!r} of {path.name}" if fit.key else path.name
    return f"weights: {found}" + (f", {told}" if told else "")


def _ambiguous(path: Path, module: nn.Module, fits: Iterable[_Fit]) -> SourceError:
    places = [fit.place for fit in fits]
    shown = ", ".join(repr(place) if place else "those at the top" for place in places)
    example = next(place for place in places[::-1] if place)
    return SourceError(
        f"weights {str(path)!r} hold {len(places)} sets of tensors that fit "
        f"{type(module).__name__}: {shown}; say which, such as --weights {path}:{example}"
    )


def _refusal(
    path: Path, key: str, module: nn.Module, dictionaries: Mapping[str, Tensors], fit: _Fit
) -> SourceError:
    problems = {
        "missing": fit.missing,
        "unexpected": fit.unexpected,
        "of another shape": fit.reshaped,
    }
    told = "; ".join(f"{what}: {_first(names)}" for what, names in problems.items() if names)
    where = ""
    if len(dictionaries) > 1 or fit.prefix or fit.key != key:
        nearest = repr(fit.place) if fit.place else "what lies at the top"
        where = f" (nearest is {nearest} of: {_held(dictionaries)})"
    return SourceError(f"weights {str(path)!r} do not fit {type(module).__name__}{where}; {told}")


def _held(dictionaries: Mapping[str, Tensors]) -> str:
    """List dictionaries, each with what its names begin with."""
    told = []
    for key, tensors in dictionaries.items():
        begins = dict.fromkeys(name.split(".")[0] for name in tensors)
        held = f"{len(tensors)} tensors {_first(f'{each}.' for each in begins)}"
        told.append(f"{key!r} ({held})" if key else held)
    more = f" and {len(told) - _SETS_SHOWN} more" if len(told) > _SETS_SHOWN else ""
    return ", ".join(told[:_SETS_SHOWN]) + more


def _first(names: Iterable[str]) -> str:
    shown = list(names)
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + more
