"""All errors that this package raises on purpose.

    EnsembleMammoError
    ├── ImageReadError (ValueError)      a file cannot be turned into a mammogram
    ├── DatasetError (ValueError)        an archive, manifest, label table or split is not usable
    ├── RecipeError (ValueError)         a recipe or one of its fields is wrong
    ├── RunError (ValueError)            a run folder is missing, damaged or of another kind
    ├── PredictionError (ValueError)     prediction files or their true classes do not fit
    ├── TrainingError (RuntimeError)     training cannot go on
    ├── ExecutionError (RuntimeError)    an engine, a cluster or a remote store cannot do the work
    ├── WeightsError (ValueError)        pre-trained weights are missing or do not fit
    └── OutputError (OSError)            something cannot be written where it should go

Each also derives from a built-in, so that notebooks can catch what they know. The command line
prints the text on one line and exits with status 1; `cli.main` is the only place that catches them.
A text says where, what was found, what was expected, and what to do.
"""


class EnsembleMammoError(Exception):
    """Base of every error that this package raises on purpose."""


class ImageReadError(EnsembleMammoError, ValueError):
    """A file cannot be turned into a mammogram; the text begins with its path."""


class DatasetError(EnsembleMammoError, ValueError):
    """An archive, a manifest, a label table or a split is not usable."""


class RecipeError(EnsembleMammoError, ValueError):
    """A recipe, or one of its fields, is wrong."""


class RunError(EnsembleMammoError, ValueError):
    """A run folder is missing, damaged or of another kind than the work at hand needs."""


class PredictionError(EnsembleMammoError, ValueError):
    """Prediction files, or the true classes given for them, do not fit together."""


class TrainingError(EnsembleMammoError, RuntimeError):
    """Training cannot go on; the last good state is on disk."""


class ExecutionError(EnsembleMammoError, RuntimeError):
    """An engine is not installed, cannot be reached, or has no room; a remote store does not answer."""


class WeightsError(EnsembleMammoError, ValueError):
    """Pre-trained weights are missing or do not fit the network."""


class OutputError(EnsembleMammoError, OSError):
    """Something cannot be written where it should go."""
