"""A polite, resumable crawler of movie ratings, frames and likes, and a sandbox to try it on.

It starts from movie and user ids, follows the pages they lead to, and exports the raw tables of `dataset.schema`. Read
`process.py` (what happens to every answer) and `kinds/` first. `sandbox/` serves a local stand-in for the site.
"""

from dataset.extras import require_extra

require_extra(__name__)
