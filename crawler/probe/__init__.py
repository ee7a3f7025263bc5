"""The probe: checks, with about a dozen polite requests per host, what the crawler assumes about the site.

Most of what is known about the site comes from public code, and some of it is guessed. Run the probe before the first
crawl of the real site. `asking.py` sends the requests, `html.py` and `mobile.py` have the checks of the two sources,
`findings.py` runs them, and `document.py` is `probe.json`, which later commands read.
"""
