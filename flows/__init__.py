"""Prefect flows: one runs the stages from crawl to published snapshot; others run one stage, or train the models.

Only this package imports all the others. Start reading at `build_dataset.py`.
"""

from dataset.extras import refuse_shadowed_packages, require_extra

refuse_shadowed_packages()
require_extra(__name__)
