"""Computes visual features of pictures: VGG-19's fc7 layer, or networks of torchvision, timm and OpenCLIP.

Start reading at `extract.py`.

The library logs to the logger `features` and its children, and is silent unless logging is configured.
"""

import logging

try:
    from dataset.extras import require_extra
except ModuleNotFoundError as error:  # with a name, `python -m` prints it as one line
    raise ImportError(f"another 'dataset' hides what features needs ({error}); rename it", name="features") from None

require_extra(__name__)
logging.getLogger(__name__).addHandler(logging.NullHandler())
