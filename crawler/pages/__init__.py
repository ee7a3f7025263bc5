"""HTML in, rows out: one module a kind of page, without any I/O.

Each parser is `parse_<page>(html: str, url: str) -> <Page>`; the pages are the dataclasses of
`rows.py`. `parse.parse_page` is the one entry for answers as they come: it first asks
`refusal.classify` whether the site refuses, or the page is gone. Selectors live here and
nowhere else, so that one edit mends a change of the site.
"""
