"""Everything that is refused about bundles, in one tree.

::

    BundleError (ValueError)
    ├── BundleNotFoundError (LookupError)  no such folder, no manifest, no such shipped bundle
    ├── UnknownFormatError                 the manifest is of another version of the format
    ├── ManifestError                      the manifest is not JSON, or says what cannot be
    ├── CorruptBundleError                 a file is missing or is not the one that was exported
    └── NetworkError                       what is said of a network of images cannot be

It knows no library, so that every module of the room may import it.
"""


class BundleError(ValueError):
    """The root of what is refused about bundles."""


class BundleNotFoundError(BundleError, LookupError):
    """There is no such folder, no manifest in it, or no shipped bundle of that name."""


class UnknownFormatError(BundleError):
    """The manifest is of another version of the format."""


class ManifestError(BundleError):
    """The manifest is not JSON, lacks something, or says what cannot be."""


class CorruptBundleError(BundleError):
    """A file is missing, or its bytes are not those that were exported."""


class NetworkError(BundleError):
    """What is said of a network of images, such as its preprocessing, cannot be."""
