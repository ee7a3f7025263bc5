"""JIFR and the models that the paper compares it with: training, evaluation and the report.

The input is a published snapshot; the output is a report and the result tables of `model.schema`.
Start reading at `models/visual/jifr.py`, which holds the whole model, then `training/trainer.py`.

A package imports only packages that come later in this list: `experiments`, `report`, `training`,
`evaluation`, `models`, `data`. The modules at the top are the commands, the Python interface
(`api.py`) and the result tables (`schema.py`).
"""

import logging

try:
    from dataset.extras import require_extra
except ModuleNotFoundError as error:  # with a name, `python -m` prints it as one line
    raise ImportError(f"another 'dataset' hides what model needs ({error}); rename it", name="model") from None

require_extra(__name__)
logging.getLogger(__name__).addHandler(logging.NullHandler())
