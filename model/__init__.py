"""JIFR and what the paper compares it with: training, evaluation and the report.

In comes a published snapshot; out come the result tables of `dataset.schema` and a report.
Start reading at `jifr.py`, which holds all of the model, then `train.py`.
"""

from dataset.extras import require_extra

require_extra(__name__)
