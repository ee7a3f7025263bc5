"""The kinds of page that are JSON: what the site's mobile pages read from `/rexxar/api/v2`.

`json_kind.py` has `JsonKind` (how an answer is read), `body.py` the strict reading of JSON, `errors.py` the error
codes, `values.py` the types of fields, `paging.py` where a list goes on, and `redaction.py` how people are removed. The
other modules have one kind each. Nothing of this was seen live: the first line of each kind says how it is known.
"""

API = "/rexxar/api/v2"
