"""Data sets of the Hugging Face Hub, through the optional `datasets` library.

The library is imported only when such a data set is asked for.
"""

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, TypeAlias

from graftscope.training._decoding import EncodedImage, UnreadableImage
from graftscope.training.errors import DataError, DataNotFoundError, MissingExtraError

_Cell: TypeAlias = Mapping[str, bytes | str | None] | None


class _Rows(Protocol):
    """The part of `datasets.Dataset` that is used: one split's rows."""

    @property
    def features(self) -> Mapping[str, object]: ...
    def cast_column(self, column: str, feature: object) -> "_Rows": ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Mapping[str, _Cell]]: ...


def open_huggingface(
    dataset_id: str,
) -> tuple[tuple[str, ...], Callable[[], Iterator[EncodedImage]]]:
    """List the images of a data set, and say how to read them.

    Args:
        dataset_id: The data set's name on the Hub, or a local folder of one.

    Returns:
        Names `SPLIT/NUMBER`, with numbers that run from 1 through all splits in order, and a
        function that reads the images in the order of the names.

    Raises:
        MissingExtraError: If `datasets` is not installed.
        DataNotFoundError: If the data set cannot be loaded.
        DataError: If none of its columns holds images.
    """
    if find_spec("datasets") is None:
        raise MissingExtraError(
            f"'hf:{dataset_id}' needs the datasets library; "
            "install it with: pip install 'graftscope[datasets]'"
        )
    datasets = import_module("datasets")
    try:
        splits: Mapping[str, _Rows] = datasets.load_dataset(dataset_id)
    # The library lets errors of HTTP, of its parsers and of its own through.
    except Exception as error:
        raise DataNotFoundError(f"data set {dataset_id!r} cannot be loaded: {error}") from error
    column = _image_column(dataset_id, splits, datasets.Image)
    encoded = datasets.Image(decode=False)
    raw = {split: rows.cast_column(column, encoded) for split, rows in splits.items()}
    split_of_row = [split for split, rows in raw.items() for _ in range(len(rows))]
    names = tuple(f"{split}/{number:06d}" for number, split in enumerate(split_of_row, 1))
    return names, lambda: (_encoded(row[column]) for rows in raw.values() for row in rows)


def _image_column(dataset_id: str, splits: Mapping[str, _Rows], image_type: type) -> str:
    features = next(iter(splits.values())).features
    for name, feature in features.items():
        if isinstance(feature, image_type):
            return name
    raise DataError(
        f"data set {dataset_id!r} has no column of images; it has: {', '.join(features)}"
    )


def _encoded(cell: _Cell) -> EncodedImage:
    if cell is None:
        return UnreadableImage("the row has no image")
    content, path = cell.get("bytes"), cell.get("path")
    if isinstance(content, bytes):
        return content
    try:
        return Path(str(path)).read_bytes()
    except OSError as error:
        return UnreadableImage(str(error.strerror))
