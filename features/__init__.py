"""Pictures become features: VGG-19's fc7 as content-addressed Parquet shards.

In come picture files; out come `FrameFeature` rows. Start reading at `extract.py`.
"""

from dataset.extras import require_extra

require_extra(__name__)
