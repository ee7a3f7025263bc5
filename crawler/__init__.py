"""A polite, resumable crawler of movie ratings, frames and likes, and a sandbox to try it on.

It reads pages from movie and user ids on, and exports the raw tables of `dataset.schema`. Start reading at
`process.py`, the path of every answer, and at `kinds/`; the sandbox, a local stand-in for the site, is in `sandbox/`.
"""

from dataset.extras import require_extra

require_extra(__name__)
