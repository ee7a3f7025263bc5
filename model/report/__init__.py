"""The report: one HTML file with the results of an experiment, readable without a network.

It is made from the experiment's tables and the snapshot's manifest. Start reading at `page.py`; what it
shares with the dataset's page is in `dataset/report`.
"""
