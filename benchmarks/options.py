"""What the command line asks for."""

from dataclasses import dataclass

from benchmarks.machine import cores


@dataclass(frozen=True)
class Pace:
    """How long a comparison takes.

    Attributes:
        rounds: in each of which every way has one turn.
        turn_s: least length of a turn.
        probe_s: least length of the turn that chooses between variants.
        batches: batch sizes that the other libraries are tried with.
        compile_batches: those that are compiled, which takes seconds each.
        compiles_bfloat16: whether bfloat16 is compiled too.
    """

    rounds: int
    turn_s: float
    probe_s: float
    batches: tuple[int, ...]
    compile_batches: tuple[int, ...] = (32,)
    compiles_bfloat16: bool = False


QUICK = Pace(rounds=2, turn_s=0.2, probe_s=0.05, batches=(32,))
BRISK = Pace(rounds=3, turn_s=0.3, probe_s=0.1, batches=(8, 32))
THOROUGH = Pace(rounds=5, turn_s=0.5, probe_s=0.2, batches=(8, 16, 32), compiles_bfloat16=True)


@dataclass(frozen=True)
class Options:
    """What is measured, and for how long.

    Attributes:
        models: names of generators.
        levels: names of levels; empty for all of each generator.
        quick: whether a short look is enough: less of everything, and no spread to speak of.
        workers: cores that every way may use; 0 for all that there are.
        brief: whether float32 alone is compared, and nothing is compiled by other libraries.
    """

    models: tuple[str, ...]
    levels: tuple[str, ...] = ()
    quick: bool = False
    workers: int = 0
    brief: bool = False

    @property
    def cores(self) -> int:
        """Cores that every way may use."""
        return self.workers or cores()
