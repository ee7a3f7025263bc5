"""Builds datasets from raw tables: filters, splits, validates and publishes them as snapshots.

The input is raw tables (`dataset.schema`) from a crawl or from your own files; the output is versioned
snapshots in plain Parquet. Start reading at `building/build.py`.

The library logs to the logger `dataset` and its children, and is silent unless logging is configured.
"""

import logging

from dataset.extras import require_core

require_core()
logging.getLogger(__name__).addHandler(logging.NullHandler())
