"""All SQL of the crawler: the ledger, its schema, its lock, and the queries of every command.

Start reading in `ledger.py`, which has the class `Ledger`. `lists.py` handles lists that change while they are read.
`reports.py` has the queries of status and forecast, `raw_rows.py` those of export, and `rebuild.py` those of replays.
"""
