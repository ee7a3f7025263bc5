"""Prefect flows: one runs the stages from crawl to published snapshot; others run one stage, or train the models.

Only this package imports all the others. Start reading at `build_dataset.py`.
"""

import os

try:
    from dataset.extras import refuse_shadowed_packages, require_extra
except ModuleNotFoundError as error:  # with a name, `python -m` prints it as one line
    raise ImportError(f"another 'dataset' hides what flows needs ({error}); rename it", name="flows") from None

refuse_shadowed_packages()
require_extra(__name__)

from flows.messages.logs import log_errors_in_one_line  # noqa: E402 - after the check of the extra

# Before Prefect is imported: it sends no usage statistics, and starts no server for a single run, which would ask for
# no login.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_ENABLED", "false")

log_errors_in_one_line()
