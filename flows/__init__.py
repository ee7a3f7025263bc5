"""Prefect flows that run the stages in order. This package imports all others; none imports it.

Start reading at `build_dataset.py`.
"""

from dataset.extras import refuse_shadowed_packages, require_extra

refuse_shadowed_packages()
require_extra(__name__)
