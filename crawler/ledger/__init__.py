"""All SQL of the crawler: the ledger, its schema, its lock, and the queries of every command.

`ledger.py` holds the `Ledger`; start reading there. `lists.py` reads lists that change while they are read,
`reports.py` and `raw_rows.py` answer what status, forecast and export ask, and `rebuild.py` serves replays.
"""
