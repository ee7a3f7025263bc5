"""A polite, resumable crawler of movie ratings, frames and likes, and a sandbox to try it on.

It starts from movie and user ids, follows the pages they lead to, and exports the raw tables of `dataset.schema`. Read
`process.py` (what happens to every answer) and `kinds/` first. `sandbox/` serves a local stand-in for the site.
"""

try:
    from dataset.extras import require_extra
except ModuleNotFoundError as error:  # with a name, `python -m` prints it as one line
    raise ImportError(f"another 'dataset' hides what crawler needs ({error}); rename it", name="crawler") from None

require_extra(__name__)
