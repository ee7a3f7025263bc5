"""Prefect flows: one runs the stages from crawl to published snapshot; others run one stage, or train the models.

Only this package imports all the others. Start reading at `build_dataset.py`.
"""

try:
    from dataset.extras import refuse_shadowed_packages, require_extra
except ModuleNotFoundError as error:  # with a name, `python -m` prints it as one line
    raise ImportError(f"another 'dataset' hides what flows needs ({error}); rename it", name="flows") from None

refuse_shadowed_packages()
require_extra(__name__)
