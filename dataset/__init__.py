"""Raw ratings become a dataset: filtered, split, validated and published as snapshots.

In come raw tables (`dataset.schema`), from a crawl or from files of your own; out go
versioned snapshots of plain Parquet. Start reading at `build.py`.
"""
