"""The checks of the mobile JSON. What is most likely to be refused, a person's marks, comes late."""

from collections.abc import Iterator
from typing import Any

from crawler.kinds.mobile.body import read_json
from crawler.kinds.mobile.json_kind import Elsewhere
from crawler.kinds.mobile.marks import MARKS_PER_PAGE
from crawler.kinds.mobile.photos import PHOTOS_PER_PAGE, PhotosJsonPage
from crawler.kinds.movie_row import MovieRow
from crawler.kinds.sources import INTERESTS_PER_PAGE, INTERESTS_REACH
from crawler.page import Key, PageGone
from crawler.probe.asking import Asker, CannotTell, Check, CheckResult

UNKNOWN_ID = "1"  # no movie


class MobileChecks:
    """The checks, and what later ones need (a person, a series).

    Attributes:
        movie: the movie, once it was read.
        person: somebody who marked the movie.
    """

    def __init__(self, ask: Asker, movie_id: str) -> None:
        self.movie: MovieRow | None = None
        self.person = ""
        self._ask, self._movie_id = ask, movie_id
        self._stills: PhotosJsonPage | None = None
        self._series_id = ""
        self._n_interests = self._n_marks = self._marks_total = 0

    def checks(self) -> Iterator[Check]:
        """Yield the checks in order."""
        yield Check("robots.txt of the mobile host", lambda: self._ask.robots("mobile"))
        yield Check("a movie's JSON", self._read_movie, "movie")
        yield Check("a movie's photos in JSON", self._photos, "photos")
        yield Check("photos in JSON count their likes", self._likes)
        yield Check("photos of a kind claim a total of their own", self._total_of_kind)
        yield Check("photos in JSON end with an empty page", self._end_of_photos)
        yield Check("JSON of who marked a movie", self._interests, "people")
        yield Check(f"JSON shows people up to {INTERESTS_REACH}", self._reach)
        yield Check("a person's marks in JSON", self._marks, "collection")
        yield Check(f"{MARKS_PER_PAGE} marks per page", self._marks_per_page)
        yield Check("a series answers as a movie", self._series)
        yield Check("JSON says what does not exist", self._unknown)

    def _read_movie(self) -> CheckResult:
        movie = self._ask.page(Key("movie_json", self._movie_id))
        is_elsewhere = isinstance(movie, Elsewhere)
        if is_elsewhere:
            movie = self._ask.page(Key("movie_json", self._movie_id, movie.path))
        if not isinstance(movie, MovieRow):
            return "differs", "redirects in a circle"
        self.movie = movie
        where = ", a series under /tv/" if is_elsewhere else ""
        return "holds", f"{movie.title!r}, {movie.rating_count or 0:,} votes{where}"

    def _photos(self) -> CheckResult:
        page = self._list(Key("photos_json", self._movie_id, "still"))
        self._stills = page
        if not page.frames:
            raise CannotTell("this movie has no stills; choose one with many using --movie")
        return "holds", f"{len(page.frames)} on the first page, {page.claimed_total or 0:,} claimed"

    def _likes(self) -> CheckResult:
        page = self._need_stills()
        counted = [photo.like_count for photo in page.frames if photo.like_count is not None]
        if not counted:
            return "differs", "none has likers_count; like_count will be null"
        return "holds", f"{len(counted)} of {len(page.frames)} have likers_count, up to {max(counted):,}"

    def _total_of_kind(self) -> CheckResult:
        total = self._need_stills().claimed_total
        other = self._list(Key("photos_json", self._movie_id, "wallpaper")).claimed_total
        if total is None or other is None:
            raise CannotTell("no total is claimed")
        if total == other:
            return "differs", f"stills and wallpapers both claim {total:,}: the total is that of all photos"
        return "holds", f"{total:,} stills, {other:,} wallpapers"

    def _end_of_photos(self) -> CheckResult:
        total = self._need_stills().claimed_total
        if total is None:
            raise CannotTell("no total is claimed")
        start = -(-total // PHOTOS_PER_PAGE) * PHOTOS_PER_PAGE
        page = self._list(Key("photos_json", self._movie_id, "still", start))
        if page.frames:
            return (
                "differs",
                f"{len(page.frames)} photos from {start:,}, beyond the total; lists end without a new photo",
            )
        return "holds", f"none from {start:,}"

    def _interests(self) -> CheckResult:
        page = self._list(Key("interests", self._movie_id))
        if not page.people:
            raise CannotTell("nobody is shown; choose another movie using --movie")
        self.person, self._n_interests = page.people[0].uid, page.claimed_total or 0
        return "holds", f"{len(page.people)} people on the first page, {self._n_interests:,} claimed"

    def _reach(self) -> CheckResult:
        start = INTERESTS_REACH - INTERESTS_PER_PAGE
        if self._n_interests <= start:
            raise CannotTell(f"{self._n_interests:,} people in all; choose a movie with more using --movie")
        page = self._list(Key("interests", self._movie_id, start=start))
        if not page.people:
            return "differs", f"nobody from {start:,}: the lists end before, no setting needed"
        return "holds", f"{len(page.people)} people from {start:,}"

    def _marks(self) -> CheckResult:
        if not self.person:
            raise CannotTell("no person was found")
        key = Key("marks_json", self.person)
        answer = self._ask.answer(key)
        page = self._ask.parsed(key.kind, answer)
        self._n_marks = len(page.ratings) + sum(page.left_out.values())
        self._marks_total = page.claimed_total or 0
        self._series_id = next(_series_in(read_json(answer.body)), "")
        return "holds", f"{len(page.ratings)} on the first page, {self._marks_total:,} in all"

    def _marks_per_page(self) -> CheckResult:
        if not self._n_marks or self._marks_total < MARKS_PER_PAGE:
            raise CannotTell("no person with so many marks was found")
        answered = "holds" if self._n_marks > MARKS_PER_PAGE - 10 else "differs"
        return answered, f"{self._n_marks} shown of {self._marks_total:,}"  # type: ignore[return-value]

    def _series(self) -> CheckResult:
        if not self._series_id:
            raise CannotTell("no series was found")
        page = self._ask.page(Key("movie_json", self._series_id))
        if isinstance(page, Elsewhere):
            return "differs", "it redirects to /tv/, which is followed: two requests per series"
        return "holds", f"it answers at once, as {page.kind}"

    def _unknown(self) -> CheckResult:
        try:
            self._ask.page(Key("movie_json", UNKNOWN_ID))
        except PageGone as gone:
            return "holds", str(gone)
        return "differs", f"movie {UNKNOWN_ID} is shown"

    def _list(self, key: Key) -> Any:
        """Return a page of a list, under /tv/ if the movie is a series that answers only there."""
        page = self._ask.page(key)
        if isinstance(page, Elsewhere):
            raise CannotTell("this movie is a series whose lists are under /tv/; choose a film using --movie")
        return page

    def _need_stills(self) -> PhotosJsonPage:
        if self._stills is None or not self._stills.frames:
            raise CannotTell("no still was found")
        return self._stills


def _series_in(value: Any) -> Iterator[str]:
    """Yield the ids of the series in a page of marks."""
    for item in value.get("interests") or []:
        subject = item.get("subject") if item else None
        if subject and subject.get("type") == "tv":
            yield str(subject.get("id"))
