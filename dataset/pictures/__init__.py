"""Opens pictures, for import, crawl, report and features: allowed formats, size limits, and processes that may die."""
