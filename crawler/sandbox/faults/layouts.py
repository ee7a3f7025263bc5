"""Lists that change while they are read, and other layouts of the same pages."""

import threading
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from crawler.sandbox.answers import Answer, Answerer, Fault, Request, Role


class ChangingLists:
    """Changes every list with several pages once, between the requests for its first and its next page.

    If the list grows, its `n` newest items appear, so that items repeat across pages. If it shrinks, they vanish,
    so that items move back to a page that was read before. Vanished items were shown before, and new items are
    shown from then on: in both cases a complete crawl finds the whole list.
    """

    def __init__(self, grows: bool, n: int = 2) -> None:
        self.grows, self.n = grows, n
        self.n_changed = 0
        self._changed: dict[tuple[Role, str, str], bool] = {}
        self._lock = threading.Lock()

    def __call__(self, request: Request, answer: Answerer) -> Answer:
        """Return the answer before or after its list has changed."""
        is_shortened = self._has_changed(request) != self.grows
        view = replace(request.view, withheld=self.n if is_shortened else 0)
        return answer(replace(request, view=view))

    def _has_changed(self, request: Request) -> bool:
        query = dict(parse_qsl(urlsplit(request.target).query))
        name = (request.role, request.path, query.get("type", ""))
        with self._lock:
            if query.get("start", "0") == "0":
                return self._changed.setdefault(name, False)
            if self._changed.get(name) is False:
                self._changed[name] = True
                self.n_changed += 1
            return self._changed.get(name, False)


def shown_as(**switches: Any) -> Fault:
    """Return a fault that shows the world in another `View`; `switches` are the fields to change."""
    return lambda request, answer: answer(replace(request, view=replace(request.view, **switches)))


_OLDER_WORDS = (
    ("poster-col3", "poster-col4"),
    ('class="item comment-item"', 'class="item"'),
    ("看过的影视", "看过的电影"),
    ("IMDb:", "IMDb链接:"),
    ("votes vote-count", "votes"),
)


def older_layout(request: Request, answer: Answerer) -> Answer:
    """Return pages with the CSS classes, words and page sizes of older layouts: 40 photos per page."""
    true = answer(replace(request, view=replace(request.view, photos_page=40)))
    if not true.content_type.startswith("text/html"):
        return true
    html = true.body.decode()
    for newer, older in _OLDER_WORDS:
        html = html.replace(newer, older)
    return replace(true, body=html.encode())
