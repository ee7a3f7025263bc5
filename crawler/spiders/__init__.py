"""The spider: it asks the ledger what to read, fetches it, and hands it to the parsers.

No selector and no address is here. `queue.py` decides which page is next, `stage.py` is the
spider, `run.py` runs it in Scrapy and says how a stage ended.
"""
