"""All errors that a user can cause: `PipelineError` and its subclasses.

A message is one line with three parts: the table or file, the count or value found there, and how to
fix it. A command prints it and exits with the class's `exit_status` (`dataset.cli.run`). A traceback
is always a bug in this project.
"""


class PipelineError(Exception):
    """The base class: the error ends a command with one line. Exit status 1."""

    exit_status = 1


class UsageError(PipelineError):
    """An invalid option, argument or setting. Exit status 2."""

    exit_status = 2


class MissingInputError(PipelineError):
    """A file, folder or table is missing. Exit status 1."""


class InvalidTableError(PipelineError):
    """A table does not satisfy its schema. Exit status 1."""


class InvalidSnapshotError(PipelineError):
    """A folder is not a snapshot, or its files differ from its manifest. Exit status 1."""


class InvalidBundleError(PipelineError):
    """A file is not a bundle of results, or its numbers do not follow from its ranks. Exit status 1."""


class AlreadyPublishedError(PipelineError):
    """The version already exists; a published version is immutable. Exit status 1."""


class HeldError(PipelineError):
    """A version is held: against its parent it loses too much, or the crawl was alarmed. Exit status 1.

    Attributes:
        changes: what differs from the parent, in words, one line each.
    """

    def __init__(self, message: str, changes: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.changes = changes


class StorageError(PipelineError):
    """An object store refuses access, cannot be reached, or lacks a file. Exit status 1."""


class TooLittleDataError(PipelineError):
    """The input is valid, but too little data is left to work with. Exit status 1."""


class WeightsError(PipelineError):
    """The weights of a feature extractor are not available or not valid. Exit status 1."""


class TrainingError(PipelineError):
    """Training cannot continue: the loss is not finite, or a checkpoint does not match. Exit status 1."""


class RefusedError(PipelineError):
    """The site or its robots.txt refuses the crawler, and the crawl has stopped. Exit status 3."""

    exit_status = 3


class UnfinishedError(PipelineError):
    """A stage ended with unfinished work: failed pages wait for a retry. Exit status 4."""

    exit_status = 4


class MissingExtraError(PipelineError, ImportError):
    """A library is missing that an extra of this project installs. Exit status 1."""


class ShadowedPackageError(PipelineError, ImportError):
    """A folder of the user's has the name of one of our packages, and Python finds it first. Exit status 1."""


def describe_load_error(error: Exception) -> str:
    """Return why torch could not load a file. torch's own words may recommend to load it without its protection."""
    text = " ".join(str(error).split())
    if "weights_only" in text or "Weights only" in text or "torch.load" in text:
        return "it holds more than tensors, and could run code"
    return text[:120] or type(error).__name__
