"""Writes the pages of a world in the site's markup (the templates are in `templates/`).

The pages share no code with the crawler's parsers, so a crawl of the sandbox proves that the two agree.
A page past the end of a list has no items, as on the site.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from crawler.sandbox.records import FRAME_KINDS, Comment, Director, Frame, Like, Movie, User
from crawler.sandbox.views import PLAIN, View, n_withheld, show
from crawler.sandbox.world import COMMENTS_REACH, World
from crawler.sites import PHOTO_TYPES, Site

COLLECTION_PAGES = {"grid": 15, "list": 30}
COMMENTS_PAGE = 20
LIKERS_PAGE = 100
LIKES_PAGE = 15

KIND_WORDS = {"still": "剧照", "poster": "海报", "wallpaper": "壁纸"}
STAR_WORDS = {1: "很差", 2: "较差", 3: "还行", 4: "推荐", 5: "力荐"}

Query = dict[str, str]


class Pages:
    """Writes pages of `world` whose links lead to the hosts of `site`."""

    def __init__(self, world: World, site: Site) -> None:
        self.world, self.site, self.contents = world, site, world.contents
        self._templates = Environment(
            loader=FileSystemLoader(Path(__file__).parent / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
        )
        self._templates.globals.update(
            site=site, users=self.contents.users, movies=self.contents.movies, frames=self.contents.frames,
            KIND_WORDS=KIND_WORDS, STAR_WORDS=STAR_WORDS, PHOTO_TYPES=PHOTO_TYPES,
            icon=self._icon, picture=self.picture, cover=self.cover,
            favourite_id=_favourite_id, person_url=self._person_url, director_url=self._director_url,
        )  # fmt: skip

    def home(self) -> str:
        """Return a start page for a browser (the site has no such page)."""
        return self._render("home", seeds=[self.contents.movies[movie_id] for movie_id in self.world.seed_movie_ids])

    def message(self, title: str, text: str) -> str:
        """Return a page with a message only: not found, in review."""
        return self._render("message", title=title, message=text)

    def movie(self, movie: Movie) -> str:
        """Return a movie's page."""
        frames = self.contents.frames_of[movie.movie_id]
        movie = self.contents.misreported.get(movie.movie_id, movie)
        return self._render(
            "movie",
            movie=movie,
            json_ld=self._json_ld(movie),
            main_picture=self.cover(movie),
            imdb_label="IMDb:" if int(movie.movie_id) % 3 else "IMDb链接:",
            star_shares=_star_shares(movie),
            photo_total=len(frames),
            previews=frames[:4],
            comments=self.contents.comments_of[movie.movie_id][:5],
        )

    def comments(self, movie: Movie, query: Query, view: View = PLAIN) -> str:
        """Return 20 of a movie's comments; a logged-out reader sees no more than the first 200."""
        sort, start = query.get("sort", "new_score"), start_of(query)
        comments = self.contents.comments_of[movie.movie_id] if query.get("status", "P") == "P" else []
        if sort == "new_score":
            comments = sorted(comments, key=lambda comment: (-comment.votes, comment.comment_id))
        view = replace(view, gap_every=0)
        shown = show(comments[:COMMENTS_REACH], start, COMMENTS_PAGE, view)
        return self._render("comments", movie=movie, sort=sort, start=start, shown=shown)

    def photos(self, movie: Movie, query: Query, view: View = PLAIN) -> str:
        """Return 30 of a movie's photos of one kind (in older layouts 40); links to other pages are absolute."""
        letter, start = query.get("type", "S"), start_of(query)
        kind = next((kind for kind, other in PHOTO_TYPES.items() if other == letter), FRAME_KINDS[0])
        frames = [frame for frame in self.contents.frames_of[movie.movie_id] if frame.kind == kind]
        if query.get("sortby") == "like":
            frames.sort(key=lambda frame: -self.like_count(frame))
        elif query.get("sortby") == "size":
            frames.sort(key=lambda frame: -frame.width_px * frame.height_px)
        shown = show(frames, start, view.photos_page, view)
        address = f"{self.site.movie}/subject/{movie.movie_id}/photos?"
        kept = {"sortby": query.get("sortby", "like"), "size": "a", "subtype": "a"}
        return self._render(
            "photos",
            movie=movie,
            kind=kind,
            view=view,
            start=start,
            shown=shown,
            page_url=lambda other: address + urlencode({"type": letter, "start": other, **kept}),
        )

    def photo(self, frame: Frame, query: Query, view: View = PLAIN) -> str:
        """Return a photo's page; with `?type=like` it lists 100 of its likers, some of them anonymous."""
        frames, start = self.contents.frames_of[frame.movie_id], start_of(query)
        lists_likers = view.lists_likers and query.get("type") == "like"
        address = f"{self.site.movie}/photos/photo/{frame.frame_id}/?type=like&start="
        return self._render(
            "photo",
            movie=self.contents.movies[frame.movie_id],
            frame=frame,
            next_frame=frames[(frames.index(frame) + 1) % len(frames)],
            like_count=self.like_count(frame, view) if view.has_like_widget else 0,
            view=view,
            start=start,
            shown=show(self._liker_entries(frame), start, LIKERS_PAGE, view) if lists_likers else None,
            page_url=lambda other: f"{address}{other}#sep",
        )

    def collection(self, user: User, query: Query, view: View = PLAIN) -> str:
        """Return 15 of the movies that a user has watched (30 as a list); hidden items leave gaps; relative links."""
        if user.closing:
            return self.person(user)
        start, mode = start_of(query), "list" if query.get("mode") == "list" else "grid"
        size = COLLECTION_PAGES[mode]
        shown = show(self.contents.ratings_of[user.user_id], start, size, view)
        kept = {"sort": "time", "rating": "all", "filter": "all", "mode": mode}
        return self._render(
            "collection",
            user=user,
            ratings=[rating for rating in shown.items if not rating.is_hidden],
            links_of=self.contents.links_of,
            mode=mode,
            size=size,
            start=start,
            shown=shown,
            page_url=lambda other: f"/people/{user.uid}/collect?" + urlencode({"start": other, **kept}),
        )

    def likes(self, user: User, query: Query, view: View = PLAIN) -> str:
        """Return 15 of the photos a user likes; a photo that is gone (None) can stay in the list."""
        if user.closing:
            return self.person(user)
        start, likes = start_of(query), self.contents.likes_of[user.user_id]
        entries = with_gone(likes) if view.has_gone_likes else likes
        shown = show(entries, start, LIKES_PAGE, view)
        return self._render(
            "likes", user=user, start=start, shown=shown, view=view, page_url=lambda other: f"?start={other}"
        )

    def person(self, user: User) -> str:
        """Return a user's profile; a deleted user's profile says so."""
        return self._render("person", user=user, n_seen=len(self.contents.ratings_of[user.user_id]))

    def like_count(self, frame: Frame, view: View = PLAIN) -> int:
        """Return how many people like a frame, including anonymous ones."""
        n = len(self.contents.likers_of[frame.frame_id]) + frame.n_anonymous
        return n - n_withheld(n, LIKERS_PAGE, view)

    def _render(self, template: str, **values: object) -> str:
        return self._templates.get_template(f"{template}.html").render(values)

    def _liker_entries(self, frame: Frame) -> list[Like | None]:
        """Return a frame's likes, with the anonymous ones (None) spread evenly among them."""
        named = self.contents.likers_of[frame.frame_id]
        placed: list[tuple[float, Like | None]] = [((i + 0.5) / len(named), like) for i, like in enumerate(named)]
        placed += [((i + 0.25) / frame.n_anonymous, None) for i in range(frame.n_anonymous)]
        return [like for _, like in sorted(placed, key=lambda entry: entry[0])]

    def _icon(self, user: User) -> str:
        if user.avatar_version is None:
            return f"{self.site.images}/icon/user_normal.jpg"
        return f"{self.site.images}/icon/u{user.user_id}-{user.avatar_version}.jpg"

    def picture(self, frame: Frame, size: str, suffix: str = "jpg") -> str:
        """Return the address of a frame's picture."""
        return f"{self.site.images}/view/photo/{size}/public/p{frame.frame_id}.{suffix}"

    def cover(self, movie: Movie, size: str = "s") -> str:
        """Return the address of a movie's main picture."""
        best = cover_frame(self.contents.frames_of.get(movie.movie_id, []))
        return self.picture(best, size) if best else f"{self.site.images}/cover/movie_default.jpg"

    def _person_url(self, of: Comment | Like) -> str:
        user = self.contents.users[of.user_id]
        return f"{self.site.www}/people/{user.user_id if of.by_number else user.uid}/"

    def _director_url(self, director: Director) -> str:
        if director.link == "celebrity":
            return f"/celebrity/{director.number}/"
        if director.link == "personage":
            return f"{self.site.www}/personage/{director.number}/"
        return f"/subject_search?{urlencode({'search_text': director.name})}"

    def _json_ld(self, movie: Movie) -> str:
        hours, minutes = divmod(movie.runtime_min or 0, 60)
        about: dict[str, object] = {
            "@context": "http://schema.org",
            "name": movie.shown_title,
            "url": f"/subject/{movie.movie_id}/",
            "image": self.cover(movie),
            "director": [
                {"@type": "Person", "url": self._director_url(director), "name": director.name}
                for director in movie.directors
            ],
            "author": [],
            "actor": [],
            "datePublished": f"{movie.year}-09-01",
            "genre": list(movie.genres),
            "duration": f"PT{hours}H{minutes}M" if movie.runtime_min else "",
            "description": f"{movie.chinese}的故事。\n每个人都记得那一天 <但没有人说起> & so on.",
            "@type": "TVSeries" if movie.kind == "tv" else "Movie",
        }
        if movie.rating != "off":
            is_shown = movie.rating == "shown"
            about["aggregateRating"] = {
                "@type": "AggregateRating",
                "ratingCount": str(movie.rating_count * 97 // 100 if is_shown else 0),  # it lags behind the page
                "bestRating": "10",
                "worstRating": "2",
                "ratingValue": f"{movie.rating_mean:.1f}" if is_shown else "",
            }
        text = json.dumps(about, ensure_ascii=False, indent=2).replace("</", "<\\/")
        return text.replace("\\n", "\n")  # the site does not escape line breaks in strings


def cover_frame(frames: Sequence[Frame]) -> Frame | None:
    """Return the frame that stands for a movie; None if it has no frames."""
    return max(frames, key=lambda frame: (frame.theme is not None, frame.kind == "poster"), default=None)


def with_gone(likes: Sequence[Like]) -> list[Like | None]:
    """Return a list of likes with a photo that is gone (None) after every fourth."""
    return [entry for i, like in enumerate(likes, 1) for entry in ((like, None) if i % 4 == 0 else (like,))]


def _favourite_id(like: Like) -> str:
    """Return the id of a favourite, which looks like a photo's id."""
    return str(int(like.user_id) % 10**6 * 1000 + int(like.frame_id) % 1000)


def start_of(query: Query) -> int:
    """Return the position at which a page of a list starts."""
    start = query.get("start", "0")
    return int(start) if start.isdecimal() else 0


def _star_shares(movie: Movie) -> list[str]:
    """Return the percentages of 5 to 1 stars for a movie's mean rating."""
    weights = [2.718 ** (-((star * 2 - movie.rating_mean) ** 2) / 6) for star in (5, 4, 3, 2, 1)]
    return [f"{100 * weight / sum(weights):.1f}" for weight in weights]
