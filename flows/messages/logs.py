"""One line for an error that a user can cause, in Prefect's logs and on its page; the traceback is at debug level.

Prefect logs the traceback of a failed task, of its flow, and of the process of the run, and each of their states.
"""

import asyncio
import logging
import warnings
from collections.abc import Iterator

from dataset.errors import PipelineError

_LOGGERS = ("prefect.flow_runs", "prefect.task_runs", "prefect.engine")
_OF_FLOW = "Encountered exception during execution"
_OF_STATE = "Finished in state Failed("


class OneLine(logging.Filter):
    """Lets one line of an error pass, which Prefect logs for the flow."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log a record; change one of an error into one line, or to the level of debugging."""
        if record.levelno <= logging.DEBUG:
            return True
        error = record.exc_info[1] if record.exc_info else None
        text = record.getMessage()
        if isinstance(error, PipelineError):
            _log_at_debug_level(record)
            record.msg, record.args, record.exc_info, record.exc_text = " ".join(str(error).split()), (), None, None
            return text.startswith(_OF_FLOW)
        if text.startswith(_OF_STATE) and any(f"{name}: " in text for name in _names(PipelineError)):
            _log_at_debug_level(record)
            return False
        return True


def stop_without_noise() -> None:
    """Leave out what Prefect's runner says about itself when a signal stops it (3.8 does not await its own end)."""
    warnings.filterwarnings("ignore", "coroutine 'Runner.astop' was never awaited", RuntimeWarning)
    logging.getLogger("asyncio").addFilter(_is_no_cancellation)


def _is_no_cancellation(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


def log_errors_in_one_line() -> None:
    """Change how Prefect logs the errors of this project, in this process."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(one, OneLine) for one in logger.filters):
            logger.addFilter(OneLine())


def _log_at_debug_level(record: logging.LogRecord) -> None:
    logger = logging.getLogger(record.name)
    if logger.isEnabledFor(logging.DEBUG):
        changed = {"levelno": logging.DEBUG, "levelname": "DEBUG"}
        logger.handle(logging.makeLogRecord(record.__dict__ | changed))


def _names(error: type[PipelineError]) -> Iterator[str]:
    yield error.__name__
    for child in error.__subclasses__():
        yield from _names(child)
