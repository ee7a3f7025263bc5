"""Every error a user can cause, under one root.

A message is one line and says three things: the table or file, the count or value found
there, and the remedy. Commands print it and exit with the class's `exit_status`
(`dataset.cli.run`); a traceback means a defect of ours.
"""


class PipelineError(Exception):
    """Root of the errors that end a command in one line. Exit status 1."""

    exit_status = 1


class UsageError(PipelineError):
    """A wrong option, argument or setting. Exit status 2."""

    exit_status = 2


class MissingInputError(PipelineError):
    """A file, folder or table that should be there is not. Exit status 1."""


class InvalidTableError(PipelineError):
    """A table does not satisfy its schema. Exit status 1."""


class InvalidSnapshotError(PipelineError):
    """A folder is not a snapshot, or its files are not the ones it lists. Exit status 1."""


class AlreadyPublishedError(PipelineError):
    """A version exists already; published means immutable. Exit status 1."""


class StorageError(PipelineError):
    """An object store refuses us, cannot be reached, or lacks what was asked for. Exit status 1."""


class TooLittleDataError(PipelineError):
    """Valid input, but nothing (or too little) is left to work on. Exit status 1."""


class WeightsError(PipelineError):
    """The weights of a feature extractor cannot be had. Exit status 1."""


class TrainingError(PipelineError):
    """Training cannot go on: a loss that is not finite, a checkpoint that does not fit. Exit status 1."""


class RefusedError(PipelineError):
    """The site refuses us, or its robots.txt does; the crawl has stopped. Exit status 3."""

    exit_status = 3


class UnfinishedError(PipelineError):
    """A stage ended with work left over: failed pages wait for another try. Exit status 4."""

    exit_status = 4


class MissingExtraError(PipelineError, ImportError):
    """A library is missing that an extra of this project installs. Exit status 1."""


class ShadowedPackageError(PipelineError, ImportError):
    """A folder of the user's has the name of one of our packages, and Python finds it first. Exit status 1."""
