"""The report page: one HTML file with the results of an experiment, without any network.

In come an experiment's tables and its snapshot's manifest; out comes a page. Start reading at
`page.py`; what it shares with the dataset's page is in `dataset/report`.
"""
