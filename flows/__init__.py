"""Prefect flows that run all stages in order: crawl, export, build, extract features, publish, train.

Only this package imports all the others. Start reading at `build_dataset.py`.
"""

from dataset.extras import refuse_shadowed_packages, require_extra

refuse_shadowed_packages()
require_extra(__name__)
