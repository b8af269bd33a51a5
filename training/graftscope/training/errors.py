"""Everything that the training room refuses, in one tree.

::

    TrainingError
    ├── RecipeError (ValueError)             an unknown recipe, setting or value
    ├── DataError (ValueError)               the images cannot be used as they are
    │   ├── DataNotFoundError (LookupError)  the path or data set is not there
    │   └── EmptyDataError                   there is no readable image in it
    ├── CheckpointError (ValueError)         a checkpoint cannot be used
    │   ├── CheckpointNotFoundError (LookupError)  it, or one of its files, is not there
    │   ├── CheckpointExistsError            the output folder already holds one
    │   └── ResumeMismatchError              the training to resume was another one
    ├── FeaturesError (ValueError)           a feature network cannot be used or trained
    ├── InversionError (ValueError)          images cannot be inverted so
    ├── DivergedError (ArithmeticError)      a loss or weight is no longer finite
    └── MissingExtraError (ImportError)      an optional library is not installed

It knows no library, so that every module of the room may import it.
"""


class TrainingError(Exception):
    """The root of what the training room raises on purpose."""


class RecipeError(TrainingError, ValueError):
    """A recipe, one of its settings, or a setting's value does not exist."""


class DataError(TrainingError, ValueError):
    """The images cannot be used as they are."""


class DataNotFoundError(DataError, LookupError):
    """The path or the data set of the images is not there."""


class EmptyDataError(DataError):
    """There is not one readable image where images were expected."""


class CheckpointError(TrainingError, ValueError):
    """A checkpoint is damaged, unfinished, or of an unknown format."""


class CheckpointNotFoundError(CheckpointError, LookupError):
    """A checkpoint, or one of the files that it needs, is not there."""


class CheckpointExistsError(CheckpointError):
    """The output folder already holds a training that would be overwritten."""


class ResumeMismatchError(CheckpointError):
    """The training to resume was started with other settings or other images."""


class FeaturesError(TrainingError, ValueError):
    """A feature network is damaged, of another kind of images, or cannot be trained on these."""


class InversionError(TrainingError, ValueError):
    """Images do not fit the generator, or latents cannot be optimised as was asked."""


class DivergedError(TrainingError, ArithmeticError):
    """A loss, a weight or what is measured is no longer a finite number."""


class MissingExtraError(TrainingError, ImportError):
    """A library of an optional extra is not installed."""
