"""Builds HTML reports: the parts that all reports share, and the report on a dataset.

The input is a snapshot and, if available, its pictures; the output is one HTML file that needs no
network. Start reading at `page.py`. The report on experiments (`model/report`) uses the same parts.
"""
