"""What judges a generator's images where no network is named: one that ships, or its own encoder.

Letters: B images, F features. It must not know jobs or gRPC.
"""

import numpy as np
from numpy.typing import NDArray

from graftscope.bundle import Preprocessing, find_network, network_for, shipped_networks
from graftscope.server.engine._cancellation import Cancellation
from graftscope.server.engine._generator import Generator
from graftscope.server.engine._image_network import IMAGES_A_RUN, ImageFeatures, open_network
from graftscope.server.engine._network_form import Reads
from graftscope.server.engine._preprocessing import preprocess
from graftscope.server.engine._sessions import SessionPool
from graftscope.server.errors import NotFound


class EncoderFeatures:
    """A generator's own encoder as features: the mean of its posterior.

    Args:
        generator: one with an encoder.

    Raises:
        NotFound: it has none.
    """

    def __init__(self, generator: Generator) -> None:
        encoder, image = generator.encoder(), generator.manifest.image
        self.name = f"the encoder of {generator.manifest.name!r}"
        self.digest = generator.manifest.digest
        self.classes: tuple[str, ...] = ()
        self.exclusive = True
        sizes = (x.shape for x in generator.manifest.inputs if x.name == encoder.input)
        self.features = int(np.prod(next(iter(sizes))))
        self._generator, self._channels = generator, image.channels
        self._preprocessing = Preprocessing(
            low=image.low, high=image.high, height=image.height, width=image.width
        )

    def __call__(
        self,
        images: NDArray[np.float32],
        low: float,
        high: float,
        cancellation: Cancellation | None = None,
    ) -> NDArray[np.float32]:
        """As `ImageFeatures`; F is the size of the latent that the encoder infers."""
        rows = np.empty((len(images), self.features), np.float32)
        for start in range(0, len(images), IMAGES_A_RUN):
            some = images[start : start + IMAGES_A_RUN]
            ready = preprocess(some, low, high, self._preprocessing, self._channels)
            mean, *_ = self._generator.encode(ready, cancellation)
            rows[start : start + len(some)] = mean.reshape(len(some), -1)
        return rows


def usual_features(
    generator: Generator, pool: SessionPool, reads: Reads = Reads.FEATURES
) -> ImageFeatures:
    """Choose what judges a generator's images where nobody names a network.

    Args:
        generator: whose images.
        pool: where sessions are kept.
        reads: whether features are wanted, or scores, which an encoder does not have.

    Returns:
        The network that ships for the images which the bundle's provenance names; else, for
        features, the bundle's own encoder.

    Raises:
        NotFound: there is neither. A GAN's discriminator is no part of its bundle.
    """
    manifest = generator.manifest
    name = network_for(manifest)
    if name is not None:
        return open_network(
            find_network(name), pool, generator.image_shape, reads=reads, name=repr(name)
        )
    if reads is Reads.FEATURES and manifest.HasField("encoder"):
        return EncoderFeatures(generator)
    known = ", ".join(shipped_networks()) or "none"
    raise NotFound(
        f"no network that ships knows the images of model {manifest.name!r}, which was trained on"
        f" {manifest.provenance.data or 'images that it does not name'}; name a file, or one of:"
        f" {known}",
        field=reads.value,
    )
