"""The part of the crawler that sends requests: it reads pages from the ledger, fetches them, and has them processed.

`scheduler.py` decides which page is requested next and when, `spider.py` hands answers to `crawler.process`, and
`run.py` runs a stage in Scrapy and reports how it ended. Politeness is in `politeness.py` and `robots.py` (the
rules), `pace.py` and `clock.py` (the delay between requests, in this crawl and among all of the account), `closed.py`
(hosts that asked to be left alone for a time) and `middleware.py` (the last check before a request leaves). `fetch.py`
and `downloads.py` bound what an answer may cost.
"""
