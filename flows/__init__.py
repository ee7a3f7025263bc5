"""Prefect flows that order the stages, and the only package that knows them all.

Start reading at `build_dataset.py`.
"""

from dataset.extras import refuse_shadowed_packages, require_extra

refuse_shadowed_packages()
require_extra(__name__)
