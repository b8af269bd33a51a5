"""A user's inputs whose names are like Graftscope's own are called otherwise in the bundle."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from graftscope.exporter._subject import Arrays, GeneratorSubject, Reference
from graftscope.graph import OWN, distinct_names
from graftscope.v1 import bundle_pb2


def with_distinct_names(subject: GeneratorSubject) -> GeneratorSubject:
    """Return a subject in which no tensor is called as another is, or as splicing calls its own.

    Args:
        subject: What is exported; its graph is changed in place.
    """
    renamed = distinct_names(subject.model)
    if not renamed:
        return subject
    return replace(
        subject,
        inputs=[_renamed(each, renamed) for each in subject.inputs],
        stored={
            file: {renamed.get(name, name): array for name, array in arrays.items()}
            for file, arrays in subject.stored.items()
        },
        reference=None if subject.reference is None else _told(subject.reference, renamed),
        notes=(
            *subject.notes,
            *(
                f"input {old!r} is called {new!r} in the bundle: what begins with {OWN!r} is "
                "Graftscope's own"
                for old, new in renamed.items()
            ),
        ),
    )


def _renamed(stated: bundle_pb2.Input, renamed: Mapping[str, str]) -> bundle_pb2.Input:
    own = bundle_pb2.Input()
    own.CopyFrom(stated)
    own.name = renamed.get(stated.name, stated.name)
    return own


def _told(source: Reference, renamed: Mapping[str, str]) -> Reference:
    """Return the source as a function of inputs by their new names."""
    before = {new: old for old, new in renamed.items()}

    def compute(inputs: Arrays, /) -> Sequence[NDArray[np.float32]]:
        return source({before.get(name, name): array for name, array in inputs.items()})

    return compute
