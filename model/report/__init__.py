"""The report page: one HTML file with the results of an experiment, without any network.

In come a snapshot's manifest, the result tables and the gallery's cases; out comes a page.
Start reading at `page.py`.
"""
