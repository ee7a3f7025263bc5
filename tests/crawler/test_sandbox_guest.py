"""What a patient guest reads of an odd world under the preset, with other parsers than the crawler's, is its truth."""

import json

import pytest
from parsel import Selector

from crawler.sandbox.answers import Answer, Answers, Request
from crawler.sandbox.faults.switches import switched
from crawler.sandbox.oddities import with_oddities
from crawler.sandbox.truth import guest_truth
from crawler.sandbox.views import View
from crawler.sandbox.world import World, WorldConfig, generate_world
from crawler.sites import PHOTO_TYPES, Site

SITE = Site("http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3", "http://127.0.0.1:4")
API = "/rexxar/api/v2"
TRIES = 3  # of an address, after which the preset gives the true answer


class Guest:
    """Reads pages of the sandbox again until they are complete."""

    def __init__(self, world: World, text: str) -> None:
        faults = switched(text, "2026")
        self.world = with_oddities(world, faults.oddities)
        self._answers, self._fault = Answers(self.world, SITE), faults.fault

    def ask(self, role: str, target: str) -> Answer:
        request = Request(role, "GET", target, {"referer": f"{SITE.mobile}/"})  # type: ignore[arg-type]
        return self._fault(request, self._answers)  # type: ignore[misc]

    def json(self, target: str) -> tuple[int, dict]:
        """Return the last of some answers, after at most one redirect."""
        for _ in range(TRIES):
            answer = self.ask("mobile", f"{API}{target}")
        if answer.status == 301:
            return self.json(dict(answer.headers)["Location"].removeprefix(f"{SITE.mobile}{API}"))
        return int(answer.status), json.loads(answer.body or b"{}")

    def json_items(self, path: str, name: str, query: str, count: int = 20) -> list[dict]:
        """Return the items of a list, without those that break its pages."""
        items: list[dict] = []
        start, total = 0, 1
        while start < total:
            status, page = self.json(f"{path}?{query}&start={start}&count={count}")
            if status in (204, 403, 404):
                return []
            pages = [page]
            if status == 500:
                ones = (self.json(f"{path}?{query}&start={place}&count=1") for place in range(start, start + count))
                pages = [one for status, one in ones if status == 200]
            items += [item for page in pages for item in page[name]]
            total = max([total, *(page["total"] for page in pages)])
            start += count
        return [item for item in items if item]

    def collection(self, uid: str) -> tuple[list[tuple], int | None, dict[str, str]]:
        """Return a person's marks in the order of the pages, their claimed total, and the titles of the movies."""
        marks, titles, start, total = [], {}, 0, 1
        while start < total:
            answers = [self.ask("movie", f"/people/{uid}/collect?start={start}") for _ in range(TRIES)]
            page = Selector(answers[-1].body.decode())
            total = int(page.css("h1::text").re_first(r"\((\d+)\)$", "0"))
            for item in page.css("div.item"):
                movie_id = item.css("li.title a::attr(href)").re_first(r"/subject/(\d+)/")
                stars = item.css("span::attr(class)").re_first(r"rating(\d)-t")
                marks.append((movie_id, stars and int(stars), item.css(".date::text").get()))
                if (title := item.css("li.title em::text").get()) != "未知电影":
                    titles[movie_id] = title
            start += 15
        return marks, total, titles


@pytest.mark.parametrize("seed", [1, 2])
def test_a_patient_guest_finds_exactly_the_truth(seed: int) -> None:
    guest = Guest(generate_world(WorldConfig(seed, 60, 40)), "challenge=100000,merged=0.2,bad-items=0.02")
    world = guest.world
    people = {
        item["user"]["uid"]: item["user"]["id"]
        for movie_id in world.seed_movie_ids
        for item in guest.json_items(f"/movie/{movie_id}/interests", "interests", "status=done&order_by=hot")
        if item["user"] and item["user"]["name"] != "[已注销]"
    }
    read = {user_id: guest.collection(uid) for uid, user_id in people.items()}
    titles = {movie_id: title for _, _, of in read.values() for movie_id, title in of.items()}
    asked = {mark[0] for marks, _, _ in read.values() for mark in marks}
    movies: dict[str, tuple] = {}
    aliases: dict[str, str] = {}
    for movie_id in sorted(asked):
        status, movie = guest.json(f"/movie/{movie_id}")
        if status == 200:
            if movie["id"] != movie_id:
                aliases[movie_id] = movie["id"]
            movies[movie["id"]] = (movie["id"], movie["title"], int(movie["year"]), movie["type"])
        elif movie.get("code") != 404:
            movies.setdefault(movie_id, (movie_id, titles.get(movie_id, movie_id), None, None))
    latest: dict[tuple[str, str], tuple] = {}
    for user_id, (marks, _, _) in read.items():
        for movie_id, stars, day in reversed(marks):  # newest last; those without a date are never newer
            key = (user_id, aliases.get(movie_id, movie_id))
            if key not in latest or day or not latest[key][1]:
                latest[key] = (stars, day)
    ratings = [(*key, *mark) for key, mark in latest.items()]
    frames = [
        (photo["id"], movie_id, kind, photo.get("likers_count"))
        for movie_id in movies
        for kind in ("still", "poster")
        for photo in guest.json_items(f"/movie/{movie_id}/photos", "photos", f"type={PHOTO_TYPES[kind]}")
    ]
    true = guest_truth(world, k=0, site=SITE, picture_size=None, view=View(gap_every=4))
    assert sorted(movies.values(), key=str) == sorted(
        true["movies"].select("movie_id", "title", "year", "kind").rows(), key=str
    )
    assert sorted(ratings, key=str) == sorted(
        (
            (user, movie, stars, day and str(day))
            for user, movie, stars, day in true["ratings"].select("user_id", "movie_id", "stars", "rated_on").rows()
        ),
        key=str,
    )
    assert sorted(frames, key=str) == sorted(
        true["frames"].select("frame_id", "movie_id", "kind", "like_count").rows(), key=str
    )
    users = [(user_id, total) for user_id, (_, total, _) in read.items()]
    assert sorted(users) == sorted(true["users"].select("user_id", "marks_claimed").rows())
    assert aliases
    assert len(frames) > 100
