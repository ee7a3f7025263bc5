"""Pages for people: what all reports share (numbers with their origin, charts, templates), and the dataset's page.

In come a snapshot and, where they are at hand, its pictures; out comes one HTML file without any
network. Start reading at `page.py`; the experiment's report (`model/report`) builds on the same parts.
"""
