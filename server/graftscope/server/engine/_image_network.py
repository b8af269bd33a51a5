"""Networks that look at images: what a classifier makes of them, or the features that it sees.

    network = open_network(Path("classifier.onnx"), pool, images=(3, 64, 64), reads=Reads.SCORES)
    scores = network(images, low=-1.0, high=1.0)  # (B, 3, 64, 64) -> (B, classes)

A file that was not made here is tried in a child process before it is opened, as bundles are.
Networks that ship are in `graftscope.bundle.shipped_networks`; `usual_features` chooses one for a
generator, or takes its own encoder.

Letters: B images, c channels, (H, W) pixels, F features or scores. It must not know jobs or gRPC.
"""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import ModelProto

from graftscope.bundle import (
    NetworkDescription,
    NetworkError,
    Preprocessing,
    describe_network,
    shipped_networks,
)
from graftscope.sandbox import Sandbox, SandboxError, in_our_words
from graftscope.server.engine._cancellation import Cancellation
from graftscope.server.engine._devices import Graph
from graftscope.server.engine._graph_memory import read_graph
from graftscope.server.engine._network_form import ImageShape, NetworkForm, Reads, network_form
from graftscope.server.engine._preprocessing import preprocess
from graftscope.server.engine._sessions import Session, SessionPool
from graftscope.server.errors import InvalidInput, ModelRefused, NotFound, ServerError

IMAGES_A_RUN: Final = 64
_BYTES_A_RUN: Final = 64 * 2**20
_FILE: Final = "network.onnx"


class ImageFeatures(Protocol):
    """What turns images into vectors.

    Attributes:
        name: what messages call it.
        digest: sha256 of what it is, in hex.
        classes: names of the scores; empty where they have none, or features are read.
        exclusive: whether exactly one of the classes holds for an image.
        features: length of the vectors, F.
    """

    name: str
    digest: str
    features: int
    classes: tuple[str, ...]
    exclusive: bool

    def __call__(
        self,
        images: NDArray[np.float32],
        low: float,
        high: float,
        cancellation: Cancellation | None = None,
    ) -> NDArray[np.float32]:
        """Images (B, c, H, W) in the range `low` to `high` to features or scores (B, F)."""


class ImageNetwork:
    """An ONNX file that takes images; `open_network` makes one.

    Its session lives in the pool: it is closed where memory is short, and opened again.

    Args:
        name: what messages call it.
        model: the file's bytes.
        form: what it takes and gives.
        description: what the file says of itself.
        pool: where its session is kept.

    Attributes:
        name: as given.
        digest: sha256 of the file in hex.
        form: as given, with how many images it takes at a time.
        classes: names of the scores, where scores are read and the file names them.
        exclusive: whether exactly one of the classes holds for an image.
        features: length of the vectors, F.

    Raises:
        ModelRefused: it does not run on images of this shape.
        InvalidInput: the file names another number of classes.
    """

    def __init__(
        self,
        name: str,
        model: bytes,
        form: NetworkForm,
        description: NetworkDescription,
        pool: SessionPool,
    ) -> None:
        self.name = name
        self.digest = hashlib.sha256(model).hexdigest()
        self._graph = Graph(model, Path())
        self._pool = pool
        self.form = form
        self.exclusive = description.exclusive
        self._batch, self.features = self._tried()
        self.classes = self._classes(description)

    def __call__(
        self,
        images: NDArray[np.float32],
        low: float,
        high: float,
        cancellation: Cancellation | None = None,
    ) -> NDArray[np.float32]:
        """Features or scores of images.

        The same images in the same order give the same bits: how many go into a run is fixed when
        the network is opened.

        Args:
            images: (B, c, H, W) in the range `low` to `high`; of another size than it was opened
                for they are resized.
            low: the value of black.
            high: the value of white; above `low`.
            cancellation: what may stop it; by default what the calling thread works for.

        Returns:
            (B, F) float32.

        Raises:
            InvalidInput: the images have another number of channels, or a result is no finite
                number.
            Cancelled: it was stopped.
        """
        if not low < high:
            raise InvalidInput(f"the images' range {low:g} to {high:g} is empty", field="images")
        rows = np.empty((len(images), self.features), np.float32)
        for start in range(0, len(images), self._batch):
            some = images[start : start + self._batch]
            ready = preprocess(some, low, high, self.form.preprocessing, self.form.channels)
            rows[start : start + len(some)] = self._run(ready, cancellation)[: len(some)]
        if not np.isfinite(rows).all():
            raise InvalidInput(f"{self.name} gives values that are no finite numbers")
        return rows

    def _tried(self) -> tuple[int, int]:
        """How many images go into a run, and how long the vectors are, from runs of grey images.

        A graph may say that it takes any number, and yet be made for one.
        """
        form = self.form
        if form.batch:
            return form.batch, self._try(form.batch)
        features = self._try(1)
        sample = max(self._session().takes.sample_bytes, 1)
        batch = max(1, min(IMAGES_A_RUN, _BYTES_A_RUN // sample))
        try:
            self._try(2)
        except ModelRefused:
            return 1, features
        return batch, features

    def _try(self, count: int) -> int:
        black = np.zeros((count, *self.form.shape), np.float32)
        return int(self._run(black, None).shape[1])

    def _run(
        self, ready: NDArray[np.float32], cancellation: Cancellation | None
    ) -> NDArray[np.float32]:
        """What the network gives for images (B, ...), (B or more, F) float32."""
        form = self.form
        if form.batch > len(ready):
            ready = np.concatenate([ready, np.repeat(ready[-1:], form.batch - len(ready), axis=0)])
        if form.dtype == np.uint8:
            ready = np.clip(np.rint(ready), 0, 255)
        feeds = {form.input: ready.astype(form.dtype)}
        try:
            value = self._session().run(feeds, cancellation)[form.output].numpy()
        except ServerError:
            raise
        except Exception as error:  # ONNX Runtime's own have no common base
            raise ModelRefused(f"{self.name} does not run: {in_our_words(error)}") from error
        if len(ready) > 1 and (value.ndim == 0 or len(value) != len(ready)):
            raise ModelRefused(
                f"output {form.output!r} of {self.name} has shape {value.shape} for"
                f" {len(ready)} images; one row an image is needed"
            )
        rows: NDArray[np.float32] = value.reshape(len(ready), -1).astype(np.float32)
        return rows

    def _session(self) -> Session:
        return self._pool.get(f"network {self.digest}", lambda: self._graph)

    def _classes(self, description: NetworkDescription) -> tuple[str, ...]:
        """The names of what is read, if those are the scores."""
        classes, output = description.classes, self.form.output
        if not classes or output == description.features:
            return ()
        if description.scores not in ("", output):
            return ()
        if len(classes) != self.features:
            raise InvalidInput(
                f"{self.name} names {len(classes)} classes and gives {self.features} scores"
            )
        return classes


def open_network(
    source: Path | bytes,
    pool: SessionPool,
    images: ImageShape,
    *,
    stated: Preprocessing | None = None,
    reads: Reads = Reads.FEATURES,
    output: str = "",
    sandbox: Sandbox | None = None,
    name: str = "",
    field: str = "",
) -> ImageNetwork:
    """Open an ONNX file that takes images, once it was tried in a child process.

    Args:
        source: the file, or its bytes; it holds its weights itself.
        pool: where its session is kept.
        images: (c, H, W) of the images that it will be given.
        stated: the preprocessing; by default what the file says, else pixels in [0, 1] of the
            size and in the layout that the input's shape tells.
        reads: which output is read where none is named; see `network_form`.
        output: name of the output that is read.
        sandbox: what tries it; by default one with the limits of the environment. What ships
            with the package is not tried.
        name: what messages call it; by default the file's name.
        field: the request's field that names it.

    Raises:
        NotFound: there is no such file.
        ModelRefused: it is not to be opened here, is damaged, or does not take one image.
        InvalidInput: the preprocessing, the output or the images do not fit it.
    """
    called = name or (repr(source.name) if isinstance(source, Path) else "the network")
    with _refusals(called, field):
        data = _read(source) if isinstance(source, Path) else source
        trusted = isinstance(source, Path) and source in shipped_networks().values()
        trial = None if trusted else _Trial(data, sandbox or Sandbox(), called)
        model = trial.graph() if trial else read_graph(data)
        description = describe_network({each.key: each.value for each in model.metadata_props})
        form = network_form(model, description, images, stated=stated, reads=reads, output=output)
        if trial and not form.sized:
            trial.run(form)
        return ImageNetwork(called, data, form, description, pool)


@contextmanager
def _refusals(called: str, field: str) -> Iterator[None]:
    """What is refused, as the server's own errors that name the network and the field."""
    try:
        yield
    except NetworkError as error:
        raise InvalidInput(f"{called}: {error}", field=field) from error
    except SandboxError as error:
        reason = str(getattr(error, "reason", ""))
        raise ModelRefused(str(error), reason=reason, field=field) from error
    except (ModelRefused, InvalidInput) as error:
        if called not in str(error):
            error.args = (f"{called}: {error}",)
        error.field = ".".join(filter(None, (field, error.field)))
        raise


class _Trial:
    """A file that is tried before this process opens it, in a folder of its own.

    Nobody can put another file there between the trial and the opening.
    """

    def __init__(self, data: bytes, sandbox: Sandbox, called: str) -> None:
        self._data, self._sandbox, self._called = data, sandbox, called

    def graph(self) -> ModelProto:
        """The graph, which may be read once its sizes were counted in the child."""
        self._require({})
        try:
            model = read_graph(self._data)
        except DecodeError as error:  # where nothing is tried
            raise ModelRefused("it is no ONNX file, or damaged") from error
        _refuse_weights_elsewhere(model)
        return model

    def run(self, form: NetworkForm) -> None:
        """Try it again on an image of the size that it will get, where it takes any."""
        self._require({form.input: form.shape})

    def _require(self, shapes: dict[str, tuple[int, ...]]) -> None:
        with tempfile.TemporaryDirectory(prefix="graftscope-") as folder:
            path = Path(folder) / _FILE
            path.write_bytes(self._data)
            self._sandbox.require_file(path, shapes, called=self._called)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise NotFound(f"network {str(path)!r} cannot be read: {error.strerror}") from error


def _refuse_weights_elsewhere(model: ModelProto) -> None:
    """One file is what is sent to a server, so it has to hold everything."""
    for tensor in model.graph.initializer:
        if tensor.external_data:
            raise ModelRefused(
                f"its weights lie in another file ({tensor.external_data[0].value[:80]}); write one"
                " file with onnx.save(onnx.load('network.onnx'), 'one-file.onnx')"
            )
