"""Prefect flows that run the stages in order. No other package imports this one.

Start reading at `build_dataset.py`.
"""

from importlib.util import find_spec

if find_spec("prefect") is None:
    # With this package's name, `python -m flows.…` prints the error in one line, without a traceback.
    raise ImportError("flows needs Prefect; install it with: pip install 'douban-keyframes[flows]'", name=__name__)
