"""A polite, resumable crawler of movie ratings, frames and likes, and a sandbox to try it on.

In come movie or user ids; out come the raw tables of `dataset.schema`. Start reading at
`spiders/`; the sandbox, a local stand-in for the site, is in `sandbox/`.
"""

from dataset.extras import require_extra

require_extra(__name__)
