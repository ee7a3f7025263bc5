"""Pictures become features: VGG-19's fc7 as content-addressed Parquet shards.

In come picture files; out come `FrameFeature` rows. Start reading at `extract.py`.
"""
