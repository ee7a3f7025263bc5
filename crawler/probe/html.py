"""The checks of the HTML pages and of the picture files.

What is most likely to be refused comes last, because a refusal ends these checks: first people's lists, then movies and
photos, at last the likes of a person.
"""

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

from crawler.kinds.collection import CollectionPage
from crawler.kinds.collection import address as collection_address
from crawler.kinds.movie import MoviePage
from crawler.kinds.photo import photo_page
from crawler.kinds.photos import PHOTOS_PER_PAGE
from crawler.kinds.photos import address as photo_list
from crawler.kinds.sources import COMMENTS_REACH
from crawler.page import Key
from crawler.probe.asking import Asker, CannotTell, Check, CheckResult


class HtmlChecks:
    """The checks, and what later ones need (a photo, a person).

    Attributes:
        movie: the movie's page, once it was read.
        person: somebody who marked the movie, known from the JSON or from a comment.
        lists_likers: whether a photo's page lists who likes it.
        has_public_likes: whether a person's page lists what they like.
        has_longer_pages: whether mode=list shows more marks per page, with the same stars and dates.
    """

    def __init__(self, ask: Asker, movie_id: str, person: str) -> None:
        self.movie: MoviePage | None = None
        self.person = person
        self.lists_likers: bool | None = None
        self.has_public_likes: bool | None = None
        self.has_longer_pages: bool | None = None
        self._in_grid: CollectionPage | None = None
        self._ask, self._movie_id = ask, movie_id
        self._frame_id = self._liker = ""

    def checks(self) -> Iterator[Check]:
        """Yield the checks in order."""
        yield Check("robots.txt of the movie host", lambda: self._ask.robots("movie"))
        yield Check("robots.txt of the www host", lambda: self._ask.robots("www"))
        yield Check("robots.txt of the image host", lambda: self._ask.robots("images"))
        collection = Check("a user's watched movies are public", self._collection, "collection")
        mode_list = Check("mode=list shows 30 watched movies", self._mode_list)
        comments = Check("a movie's comments lead to people", self._comments, "people")
        of_person = (collection, mode_list)
        yield from (*of_person, comments) if self.person else (comments, *of_person)
        yield Check("a movie's page", self._read_movie, "movie")
        yield Check("30 photos per page of the list", self._photos, "photos")
        yield Check("a picture file", self._picture)
        yield Check("a like widget on a photo's page", self._like_widget)
        yield Check("?type=like lists who likes a photo", self._likers, "likes")
        yield Check("a user's likes are public", self._user_likes, "likes")
        yield Check(f"comments end at {COMMENTS_REACH}", self._reach)

    def advice(self) -> str | None:
        """Return which --liker-source to use; None if the findings do not show it, `none` if no likes can be read."""
        match self.lists_likers, self.has_public_likes:
            case True, _:
                return "photo_page"
            case _, True:
                return "user_likes"
            case False, False:
                return "none"
        return None

    def _read_movie(self) -> CheckResult:
        page: MoviePage = self._ask.page(Key("movie", self._movie_id))
        self.movie = page
        return "holds", f"{page.movie.title!r}, {page.photo_total or 0:,} photos, seen by {page.seen_total or 0:,}"

    def _photos(self) -> CheckResult:
        key = Key("photos", self._movie_id, "still")
        page = self._ask.page(key, photo_list(self._ask.site, key, sort_by="like"))
        if not page.frames:
            raise CannotTell("this movie has no stills; choose one with many using --movie")
        self._frame_id = page.frames[0].frame_id
        if page.next_url is None:
            raise CannotTell(f"{len(page.frames)} stills in all; choose a movie with more using --movie")
        per_page = int(parse_qs(urlsplit(page.next_url).query)["start"][0])
        if per_page != PHOTOS_PER_PAGE:
            return "differs", f"{per_page} per page; no setting needed, because links to the next page are followed"
        return "holds", f"{per_page} per page"

    def _picture(self) -> CheckResult:
        picture = self._ask.page(Key("picture", self._need_frame(), "m"))
        return "holds", f"{picture.format}, {picture.width_px} x {picture.height_px}"

    def _like_widget(self) -> CheckResult:
        page = self._ask.page(Key("photo", self._need_frame()), photo_page(self._ask.site, self._need_frame()))
        if page.like_count is None:
            return "differs", "none on the still with the most likes; like_count will be null"
        return "holds", f"it counts {page.like_count:,} people"

    def _likers(self) -> CheckResult:
        self.lists_likers = False
        page = self._ask.page(Key("photo", self._need_frame()))
        if not page.likers:
            return "differs", "lists nobody to a logged-out reader"
        self.lists_likers, self._liker = True, page.likers[0].person.uid
        return "holds", f"{len(page.likers)} people on the first page"

    def _comments(self) -> CheckResult:
        page = self._ask.page(Key("comments", self._movie_id))
        if not page.people:
            raise CannotTell("this movie has no comments; choose another using --movie")
        self.person = self.person or page.people[0].uid
        return "holds", f"{len(page.people)} people on the first page"

    def _collection(self) -> CheckResult:
        page = self._ask.page(Key("collection", self._need_person()))
        self._in_grid = page
        return "holds", f"{len(page.ratings)} on the first page, {page.claimed_total or 0:,} in all"

    def _mode_list(self) -> CheckResult:
        """Compare a list's first page in both modes: mode=list must show more movies, with the same stars and dates."""
        in_grid = self._in_grid
        if in_grid is None:
            raise CannotTell("the list was not read in mode=grid")
        if not in_grid.next_url:
            raise CannotTell(f"this person has watched {in_grid.claimed_total or len(in_grid.ratings):,} movies")
        key = Key("collection", self.person)
        page: CollectionPage = self._ask.page(key, collection_address(self._ask.site, key, "list"))
        shown = {row.movie_id: (row.stars, row.rated_on) for row in page.ratings}
        changed = [row for row in in_grid.ratings if shown.get(row.movie_id) != (row.stars, row.rated_on)]
        self.has_longer_pages = False
        if changed:
            return "differs", f"{len(changed)} of {len(in_grid.ratings)} movies have another date or other stars there"
        if len(shown) <= len(in_grid.ratings):
            return "differs", f"{len(shown)} per page, as in mode=grid"
        self.has_longer_pages = True
        return "holds", f"{len(shown)} on the first page, {len(in_grid.ratings)} in mode=grid; equal stars and dates"

    def _user_likes(self) -> CheckResult:
        uid = self._liker or self._need_person()
        self.has_public_likes = False
        page = self._ask.page(Key("user_likes", uid))
        if not page.likes:
            self.has_public_likes = None if not self._liker else False
            return ("differs" if self._liker else "unknown"), "the list exists but is empty"
        self.has_public_likes = True
        return "holds", f"{len(page.likes)} on the first page"

    def _reach(self) -> CheckResult:
        page = self._ask.page(Key("comments", self._movie_id, start=COMMENTS_REACH))
        if page.people:
            return (
                "differs",
                f"{len(page.people)} more after {COMMENTS_REACH}: raise COMMENTS_REACH in crawler/kinds/sources.py",
            )
        return "holds", f"none is shown after {COMMENTS_REACH}"

    def _need_frame(self) -> str:
        if not self._frame_id:
            raise CannotTell("no still was found")
        return self._frame_id

    def _need_person(self) -> str:
        if not self.person:
            raise CannotTell("no person was found")
        return self.person
