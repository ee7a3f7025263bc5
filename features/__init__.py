"""Computes visual features of pictures: VGG-19's fc7 layer, or any layer of another torchvision network.

Start reading at `extract.py`.

The library logs to the logger `features` and its children, and is silent unless logging is configured.
"""

import logging

from dataset.extras import require_extra

require_extra(__name__)
logging.getLogger(__name__).addHandler(logging.NullHandler())
