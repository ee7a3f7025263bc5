"""Writes the mobile JSON of a world: movies, photo lists, who marked a movie, what a person marked.

`Mobile` returns the answers of `m.douban.com/rexxar/api/v2` as public clients describe them. A guest needs nothing but
the site's `Referer`. Lists have `start`, `count` and `total`; hidden items count in `total` and leave pages short.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit

from crawler.sandbox.pages import Pages, Query, cover_frame, start_of
from crawler.sandbox.pictures import SHAPES_PX
from crawler.sandbox.records import Comment, Frame, Movie, Rating, User
from crawler.sandbox.views import View, show
from crawler.sandbox.world import INTERESTS_REACH, World
from crawler.sites import PHOTO_TYPES, Site

API = "/rexxar/api/v2"
LARGEST_COUNT = 50  # a larger `count` is answered with so many items
_DEFAULT_COUNT = 20
_LONGEST_EDGE_PX = 1600
_SUBJECT = re.compile(rf"{API}/(movie|tv|subject)/([0-9]+)(?:/(photos|interests))?")
_MARKS = re.compile(rf"{API}/user/([\w.-]+)/interests")

Json = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class JsonAnswer:
    """A status with a JSON body (None: an empty body), and the target of a redirect."""

    status: int
    content: Json | None = None
    location: str | None = None

    @property
    def body(self) -> bytes:
        """The bytes of the body."""
        return b"" if self.content is None else json.dumps(self.content, ensure_ascii=False).encode()


def error(status: int, code: int, msg: str, path: str, words: str = "") -> JsonAnswer:
    """Return an error in the form of the API; it names the path without the API's base."""
    request = f"GET {path.replace('/rexxar/api', '', 1)}"
    return JsonAnswer(status, {"request": request, "msg": msg, "code": code, "localized_message": words})


def without_referer(path: str) -> JsonAnswer:
    """Return the answer to a request without the site's Referer; its message has another number than its code."""
    given = error(400, 1287, "invalid_request_1284", path)
    return replace(given, content={**(given.content or {}), "request": f"GET {path.replace('/api', '', 1)}"})


class Mobile:
    """Writes the JSON of `world` with addresses of the hosts of `site`."""

    def __init__(self, world: World, site: Site, pages: Pages) -> None:
        self.world, self.site, self.contents, self._pages = world, site, world.contents, pages

    def __call__(self, target: str, view: View) -> JsonAnswer:
        """Return the answer to a path with its query."""
        url = urlsplit(target)
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        if found := _SUBJECT.fullmatch(url.path):
            return self._subject(url.path, found[1], found[2], found[3], query, view)
        if found := _MARKS.fullmatch(url.path):
            return self._marks(url.path, found[1], query, view)
        return error(404, 1001, "uri_not_found", url.path)

    # --- movies --------------------------------------------------------------------------------

    def _subject(
        self, path: str, asked_as: str, movie_id: str, part: str | None, query: Query, view: View
    ) -> JsonAnswer:
        movie = self.contents.movies.get(self.contents.merged.get(movie_id, movie_id))
        if movie is None or movie.state == "removed":
            return _unknown(path)
        match movie.state:
            case "login_only":
                return JsonAnswer(404)
            case "censored":
                return JsonAnswer(HTTPStatus.NO_CONTENT)
            case "not_listed" | "in_review":
                return error(403, 1000, "need_permission", path)
        if part == "photos":
            return self._photos(movie, query, view)
        if part == "interests":
            return self._interests(movie, query, view)
        if asked_as == "tv" and movie.kind == "movie":
            return error(404, 2215, "subject_not_found", path)
        if asked_as == "movie" and movie.kind == "tv":
            target = f"{self.site.mobile}{API}/tv/{movie_id}" + (f"?{urlencode(query)}" if query else "")
            return JsonAnswer(HTTPStatus.MOVED_PERMANENTLY, None, target)
        return JsonAnswer(200, self._movie(movie))

    def _movie(self, movie: Movie) -> Json:
        best = cover_frame(self.contents.frames_of.get(movie.movie_id, []))
        cover = self._photo(best, 0, with_counts=False) if best else None
        picture = {"large": self._pages.cover(movie, "m"), "normal": self._pages.cover(movie, "s")}
        n_comments = len(self.contents.comments_of.get(movie.movie_id, ()))
        return {
            **self._brief(movie),
            "is_tv": movie.kind == "tv", "is_show": False,
            "original_title": movie.english or "",
            "countries": ["中国大陆"], "languages": ["英语" if movie.english else "汉语普通话"],
            "durations": [f"{movie.runtime_min}分钟"] if movie.runtime_min else [], "aka": [], "release_date": None,
            "rating": _rating_of(movie) or {"value": 0, "count": 0, "max": 10, "star_count": 0.0},
            "null_rating_reason": "" if movie.rating == "shown" else "暂无评分",
            "pic": picture, "cover_url": picture["large"], "cover": cover,
            "comment_count": n_comments, "review_count": n_comments // 3, "forum_topic_count": 0,
            "episodes_count": 12 if movie.kind == "tv" else 0, "episodes_info": "", "last_episode_number": None,
            "interest": None, "intro": f"{movie.chinese}的故事。\n每个人都记得那一天。", "tags": [], "trailers": [],
            "honor_infos": [], "vendors": [], "is_released": True, "is_restrictive": False, "can_rate": True,
            "in_blacklist": False, "controversy_reason": "",
            "sharing_url": f"{self.site.movie}/subject/{movie.movie_id}/",
            "uri": f"douban://douban.com/{movie.kind}/{movie.movie_id}",
        }  # fmt: skip

    def _brief(self, movie: Movie) -> Json:
        """Return what lists show of a movie, too."""
        return {
            "id": movie.movie_id, "title": movie.chinese, "type": movie.kind, "subtype": movie.kind,
            "year": str(movie.year), "pubdate": [f"{movie.year}-09-01(中国大陆)"], "genres": list(movie.genres),
            "directors": [{"name": director.name} for director in movie.directors], "actors": [],
            "card_subtitle": f"{movie.year} / {' '.join(movie.genres)}",
            "url": f"{self.site.movie}/subject/{movie.movie_id}/",
        }  # fmt: skip

    def _photos(self, movie: Movie, query: Query, view: View) -> JsonAnswer:
        kind = {letter: kind for kind, letter in PHOTO_TYPES.items()}.get(query.get("type", ""))
        album = self.contents.frames_of[movie.movie_id]
        frames = [frame for frame in album if kind in (None, frame.kind)]
        places = {frame.frame_id: place for place, frame in enumerate(frames)}
        answer = self._list(
            "photos",
            frames,
            query,
            view,
            lambda frame: frame.frame_id,
            lambda frame: self._photo(frame, places[frame.frame_id], with_counts=frame.has_data_id),
        )
        if answer.content is None or "photos" not in answer.content:
            return answer
        wide = {} if view.narrows_total or view.is_throttled else {"total": show(album, 0, 1, view).total}
        return replace(answer, content={**answer.content, **dict.fromkeys("cfonw", 0), **wide})

    def _photo(self, frame: Frame, place: int, with_counts: bool) -> Json:
        """Return a photo; the counts are missing in some, and so is the uploader."""
        page = f"{self.site.movie}/photos/photo/{frame.frame_id}/"
        shape = SHAPES_PX[frame.kind]
        longest = max(frame.width_px, frame.height_px)
        scale = min(1.0, _LONGEST_EDGE_PX / longest)
        large = (round(frame.width_px * scale), round(frame.height_px * scale))
        sizes = {"small": ("s", shape), "normal": ("m", shape), "large": ("l", large)}
        images: Json = {
            name: {
                "url": self._pages.picture(frame, size, "webp"), "width": width, "height": height, "size": 0,
            }
            for name, (size, (width, height)) in sizes.items()
        }  # fmt: skip
        if not frame.has_data_id:
            images["large"] = None
        photo = {
            "id": frame.frame_id, "type": "photo", "subtype": "", "position": place, "description": "",
            "create_time": f"{frame.uploaded_on} 08:09:10",
            "image": {**images, "raw": None, "is_animated": False, "primary_color": "AABBCC"},
            "url": page, "sharing_url": page, "uri": f"douban://douban.com/photo/{frame.frame_id}",
            "owner_uri": f"douban://douban.com/movie/{frame.movie_id}", "author": None,
        }  # fmt: skip
        if not with_counts:
            return photo
        likers = self._pages.like_count(frame)
        return {
            **photo,
            "likers_count": likers, "reactions_count": likers, "comments_count": frame.width_px % 7,
            "reaction_type": 0, "collections_count": 0, "reshares_count": 0, "read_count": 0, "is_collected": False,
            "reply_limit": "", "status": None,
        }  # fmt: skip

    # --- marks ---------------------------------------------------------------------------------

    def _interests(self, movie: Movie, query: Query, view: View) -> JsonAnswer:
        """Return people who marked a movie and wrote a comment; beyond the reach the list is empty and its total 0."""
        comments = self.contents.comments_of[movie.movie_id] if query.get("status", "done") == "done" else []
        if query.get("order_by", "hot") == "hot":
            comments = sorted(comments, key=lambda comment: (-comment.votes, comment.comment_id))
        if start_of(query) >= INTERESTS_REACH:
            view = replace(view, is_throttled=True, keeps_total=False)
        seen = comments[:INTERESTS_REACH]
        answer = self._list(
            "interests",
            seen,
            query,
            replace(view, gap_every=0),
            lambda comment: comment.comment_id,
            self._interest,
        )
        if answer.content and answer.content.get("total"):
            return replace(answer, content={**answer.content, "total": len(comments)})
        return answer

    def _interest(self, comment: Comment) -> Json:
        user = self.contents.users[comment.user_id]
        return {
            **_mark(comment.comment_id, comment.stars, comment.written_at.isoformat(" "), comment.text, comment.votes),
            "user": None if user.closing and int(user.user_id) % 2 else self._person(user),
        }

    def _person(self, user: User) -> Json:
        return {
            "id": user.user_id, "uid": user.uid, "name": user.name, "kind": "user", "type": "user", "avatar": "",
            "url": f"{self.site.www}/people/{user.uid}/", "uri": f"douban://douban.com/user/{user.user_id}",
            "loc": {"id": "1", "name": "某地", "uid": "somewhere"} if int(user.user_id) % 3 else None,
            "reg_time": "2011-01-01 00:00:00", "is_club": False,
        }  # fmt: skip

    def _marks(self, path: str, uid: str, query: Query, view: View) -> JsonAnswer:
        """Return what a person has marked, newest first; marks of deleted movies are missing."""
        user = self.world.user(uid)
        if user is None or user.closing:
            return _unknown(path)
        if user.user_id in self.contents.walled:
            return error(403, 1000, "need_permission", path)
        is_asked = query.get("status", "done") == "done" and query.get("type", "movie") == "movie"
        ratings = self.contents.ratings_of[user.user_id] if is_asked else []
        write = _with_blanks(self._mark_of) if view.has_blank_items else self._mark_of
        return self._list("interests", ratings, query, view, lambda rating: rating.comment_id, write)

    def _mark_of(self, rating: Rating) -> Json | None:
        movie = self.contents.movies[rating.movie_id]
        if rating.is_hidden or not movie.is_listed:
            return None
        return {
            **_mark(rating.comment_id, rating.stars, _time_of(rating.rated_on), "", 0),
            "tags": [], "platforms": [], "charts": [], "is_private": False,
            "subject": {**self._brief(movie), "rating": _rating_of(movie), "null_rating_reason": "",
                        "pic": {"large": "", "normal": ""}, "cover_url": "", "color_scheme": None},
        }  # fmt: skip

    def _list(
        self,
        name: str,
        items: Sequence[T],
        query: Query,
        view: View,
        id_of: Callable[[T], str],
        write: Callable[[T], Json | None],
    ) -> JsonAnswer:
        """Return a page of a list, without the items that `write` leaves out; one bad item breaks the whole page."""
        start, count = start_of(query), _count_of(query)
        shown = show(items, start, count, view)
        if any(id_of(item) in self.contents.bad_items for item in shown.items):
            return JsonAnswer(HTTPStatus.INTERNAL_SERVER_ERROR)
        written = [entry for item in shown.items if (entry := write(item)) is not None]
        total = 0 if view.is_throttled and start and not view.keeps_total else shown.total
        return JsonAnswer(200, {"start": start, "count": count, "total": total, name: written})


def _unknown(path: str) -> JsonAnswer:
    return error(404, 404, "traversal_error", path, "要访问的内容不存在")


def _count_of(query: Query) -> int:
    count = query.get("count", "")
    return min(max(1, int(count)), LARGEST_COUNT) if count.isdecimal() else _DEFAULT_COUNT


def _rating_of(movie: Movie) -> Json | None:
    if movie.rating != "shown":
        return None
    stars = round(movie.rating_mean) / 2
    return {"value": movie.rating_mean, "count": movie.rating_count, "max": 10, "star_count": stars}


def _mark(mark_id: str, stars: int | None, at: str | None, comment: str, votes: int) -> Json:
    rating = {"count": 1, "max": 5, "value": stars, "star_count": float(stars)} if stars else None
    return {
        "id": int(mark_id), "status": "done", "comment": comment, "create_time": at, "rating": rating,
        "vote_count": votes, "is_voted": False, "ip_location": "", "sharing_url": "",
    }  # fmt: skip


def _time_of(day: date | None) -> str | None:
    return f"{day} 20:21:22" if day else None


def _with_blanks(write: Callable[[Rating], Json | None]) -> Callable[[Rating], Json | None]:
    """Return a writer of marks that shows hidden ones as `{}` and those of deleted movies with a null subject."""

    def written(rating: Rating) -> Json | None:
        if rating.is_hidden:
            return {}
        blank = _mark(rating.comment_id, rating.stars, _time_of(rating.rated_on), "", 0)
        return write(rating) or {**blank, "subject": None}

    return written
