"""Prefect flows: one runs the stages from crawl to published snapshot; others run one stage, or train the models.

Only this package imports all the others. Start reading at `build_dataset.py`.
"""

import os

from dataset.extras import refuse_shadowed_packages, require_extra

refuse_shadowed_packages()
require_extra(__name__)

# Before Prefect is imported: it sends no usage statistics, and starts no server for a single run, which would ask for
# no login.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_ENABLED", "false")
