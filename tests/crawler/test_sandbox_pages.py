"""The sandbox's pages have the site's markup; these tests use their own selectors, not the crawler's parsers."""

import json
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from parsel import Selector

from crawler.sandbox.pages import Pages, Query
from crawler.sandbox.records import Comment, Movie, User
from crawler.sandbox.world import World, WorldConfig, generate_world
from crawler.sites import Site

SITE = Site(movie="http://127.0.0.1:1", www="http://127.0.0.1:2", images="http://127.0.0.1:3")


@pytest.fixture(scope="module")
def world() -> World:
    return generate_world(WorldConfig())


@pytest.fixture(scope="module")
def pages(world: World) -> Pages:
    return Pages(world, SITE)


@pytest.fixture(scope="module")
def movies(world: World) -> list[Movie]:
    return [movie for movie in world.contents.movies.values() if movie.state == "open"]


def _walk(write: Callable[[Query], str], step: int) -> list[Selector]:
    """Return a list's pages, by adding `step` to `start` for as long as a next page is linked."""
    found: list[Selector] = []
    while True:
        found.append(Selector(write({"start": str(step * len(found)), "type": "like"})))
        if not found[-1].css("span.next a, #paginator a.next"):
            return found


class TestMoviePage:
    def test_its_fields_are_where_the_site_has_them(self, pages: Pages, movies: list[Movie]) -> None:
        for movie in movies:
            page = Selector(pages.movie(movie))
            assert page.css('span[property="v:itemreviewed"]::text').get() == movie.shown_title
            assert page.css("title::text").get() == f"{movie.chinese} (豆瓣)"
            assert page.css("#mainpic img::attr(alt)").get() == (movie.english or movie.chinese)
            assert page.css("h1 span.year::text").get() == f"({movie.year})"
            assert page.css('span[property="v:genre"]::text').getall() == list(movie.genres)
            assert page.css('a[rel="v:directedBy"]::text').getall() == [person.name for person in movie.directors]
            seen = page.css(".subject-others-interests-ft a[href*='status=P']::text").get()
            assert seen == f"{movie.seen_total}人看过"

    def test_titles_with_a_double_space_a_colon_and_an_ampersand_occur(self, movies: list[Movie]) -> None:
        titles = [movie.shown_title for movie in movies]
        for trap in ("  ", "&"):
            assert any(trap in title for title in titles), trap
        assert any(movie.english is None for movie in movies)
        assert {movie.kind for movie in movies} == {"movie", "tv"}

    def test_a_rating_is_shown_missing_for_too_few_votes_or_switched_off(
        self, pages: Pages, movies: list[Movie]
    ) -> None:
        shown, too_few, off = (
            Selector(pages.movie(next(movie for movie in movies if movie.rating == state)))
            for state in ("shown", "too_few", "off")
        )
        mean = '#interest_sectl strong.rating_num[property="v:average"]::text'
        assert re.fullmatch(r"\d+\.\d", shown.css(mean).get(""))
        assert shown.css('span[property="v:votes"]::text').get("").isdecimal()
        assert len(shown.css("span.rating_per")) == 5
        assert too_few.css("#interest_sectl strong.rating_num")
        assert too_few.css(mean).get() is None
        assert not too_few.css('[property="v:votes"]')
        assert not off.css("#interest_sectl, .rating_num")

    def test_directors_are_linked_in_three_ways_and_some_twice(self, pages: Pages, movies: list[Movie]) -> None:
        links = [Selector(pages.movie(movie)).css('a[rel="v:directedBy"]::attr(href)').getall() for movie in movies]
        for start in ("/celebrity/", f"{SITE.www}/personage/", "/subject_search?search_text="):
            assert any(link.startswith(start) for some in links for link in some), start
        assert any(len(set(some)) < len(some) for some in links)

    def test_json_ld_has_raw_newlines_a_type_and_counts_that_lag(self, pages: Pages, movies: list[Movie]) -> None:
        for movie in movies:
            page = Selector(pages.movie(movie))
            text = page.css('script[type="application/ld+json"]::text').get("")
            with pytest.raises(json.JSONDecodeError, match="control character"):
                json.loads(text)
            about = json.loads(text, strict=False)
            assert about["@type"] == ("TVSeries" if movie.kind == "tv" else "Movie")
            assert about["duration"] == "" or about["duration"].startswith("PT")
            assert ("aggregateRating" in about) == (movie.rating != "off")
            if movie.rating == "shown" and movie.rating_count > 33:
                assert int(about["aggregateRating"]["ratingCount"]) < movie.rating_count
        assert any(movie.runtime_min is None for movie in movies)

    def test_photo_total_and_previews_leave_out_the_trailer(self, pages: Pages, movies: list[Movie]) -> None:
        without = 0
        for movie in movies:
            page, n = Selector(pages.movie(movie)), len(pages.contents.frames_of[movie.movie_id])
            total = page.css('#related-pic h2 a[href$="/all_photos"]::text').get()
            assert total == (f"图片{n}" if n else None)
            previews = page.css('.related-pic-bd li:not(.label-trailer) a[href*="/photos/photo/"]')
            assert len(previews) == min(n, 4)
            without += not n
        assert without

    def test_older_labels_occur(self, pages: Pages, movies: list[Movie]) -> None:
        labels = {
            label for movie in movies for label in Selector(pages.movie(movie)).css("#info span.pl::text").getall()
        }
        assert {"IMDb:", "IMDb链接:"} <= labels


class TestEveryPage:
    def test_contains_the_hidden_trap_link(self, pages: Pages, world: World, movies: list[Movie]) -> None:
        user = next(user for user in world.contents.users.values() if world.contents.likes_of[user.user_id])
        deleted = next(user for user in world.contents.users.values() if user.closing)
        frame = next(iter(world.contents.frames.values()))
        for html in (
            pages.home(), pages.movie(movies[0]), pages.comments(movies[0], {}), pages.photos(movies[0], {}),
            pages.photo(frame, {}), pages.photo(frame, {"type": "like"}), pages.collection(user, {}),
            pages.likes(user, {}), pages.person(user), pages.person(deleted), pages.message("页面不存在", "条目不存在"),
        ):  # fmt: skip
            trap = Selector(html).css(f'a[href="{SITE.www}/hnypt/variformcyst.py"]')
            assert trap.attrib["style"] == "display: none;"

    def test_with_comments_contains_a_script_template_that_misleads_only_regular_expressions(
        self, pages: Pages, movies: list[Movie]
    ) -> None:
        for html in (pages.movie(movies[0]), pages.comments(movies[0], {})):
            assert re.search(r'<div class="comment-item" data-cid="id">.*\{\{', html)
            assert not Selector(html).css('.comment-item[data-cid="id"]')

    def test_escapes_names_and_remarks(self, pages: Pages, world: World) -> None:
        user = next(user for user in world.contents.users.values() if "<" in user.name)
        assert user.name not in pages.person(user)
        assert Selector(pages.person(user)).css("h1::text").get() == user.name


class TestComments:
    def test_lists_everyone_once_with_relative_links_to_the_next_page(self, pages: Pages, world: World) -> None:
        movie_id = world.seed_movie_ids[0]
        comments = world.contents.comments_of[movie_id]
        movie = world.contents.movies[movie_id]
        found = _walk(lambda query: pages.comments(movie, {**query, "sort": "time"}), 20)
        assert len(found) > 1
        cids = [cid for page in found for cid in page.css("div.comment-item::attr(data-cid)").getall()]
        assert cids == [comment.comment_id for comment in comments]
        assert found[0].css("#paginator a.next::attr(href)").get("").startswith("?start=20&limit=20&sort=time")

    def test_show_stars_only_where_rated_and_the_number_in_the_avatar(self, pages: Pages, world: World) -> None:
        shown: list[tuple[Selector, Comment]] = []
        for movie_id in world.seed_movie_ids:
            page = Selector(pages.comments(world.contents.movies[movie_id], {"sort": "time"}))
            shown += zip(page.css("div.comment-item"), world.contents.comments_of[movie_id][:20], strict=True)
        for item, comment in shown:
            stars = item.css(".comment-info span.rating::attr(class)").re_first(r"allstar(\d)0")
            assert stars == (str(comment.stars) if comment.stars else None)
            user, link = world.contents.users[comment.user_id], item.css(".comment-info a::attr(href)").get("")
            assert link in (f"{SITE.www}/people/{user.user_id}/", f"{SITE.www}/people/{user.slug}/")
            number = item.css(".avatar img::attr(src)").re_first(r"/icon/u(\d+)-\d+\.jpg$")
            assert number == (user.user_id if user.avatar_version is not None else None)
            assert number or user.closing or link.endswith(f"/{user.user_id}/")
        links = [(item.css(".comment-info a::attr(href)").get("").split("/")[-2], c) for item, c in shown]
        slugs = {world.contents.users[comment.user_id].slug for _, comment in shown} - {None}
        assert any(uid in slugs for uid, _ in links)
        assert any(uid == c.user_id and world.contents.users[uid].slug for uid, c in links), (
            "number though a slug exists"
        )
        assert any(c.stars is None for _, c in shown)
        assert any(item.css(".votes.vote-count") for item, _ in shown)
        assert any(item.css(".comment-info a::text").get() == "[已注销]" for item, _ in shown)

    def test_end_after_200_for_a_logged_out_reader(self, world: World) -> None:
        movie_id = world.seed_movie_ids[0]
        many = [replace(world.contents.comments_of[movie_id][0], comment_id=str(number)) for number in range(250)]
        crowded = replace(world, contents=replace(world.contents, comments_of={movie_id: many}))
        found = _walk(lambda query: Pages(crowded, SITE).comments(world.contents.movies[movie_id], query), 20)
        assert sum(len(page.css("div.comment-item")) for page in found) == 200
        past = Pages(crowded, SITE).comments(world.contents.movies[movie_id], {"start": "200"})
        assert not Selector(past).css("div.comment-item")


class TestPhotoList:
    def test_has_30_per_page_and_absolute_links(self, pages: Pages, world: World) -> None:
        movie_id = next(movie_id for movie_id, frames in world.contents.frames_of.items() if len(frames) > 30)
        movie, expected = world.contents.movies[movie_id], world.contents.frames_of[movie_id]
        found = _walk(lambda query: pages.photos(movie, {**query, "type": "S"}), 30)
        assert len(found) > 1
        ids = [
            link.split("/")[-2]
            for page in found
            for link in page.css("ul.poster-col3 li .cover a::attr(href)").getall()
        ]
        assert ids == [frame.frame_id for frame in expected]
        assert (
            found[0]
            .css(".paginator span.next a::attr(href)")
            .get("")
            .startswith(f"{SITE.movie}/subject/{movie_id}/photos?type=S&start=30&")
        )
        assert found[0].css("span.thispage::attr(data-total-page)").get() == str(len(found))
        assert found[0].css("span.count::text").get() == f"(共{len(expected)}张)"

    def test_names_sizes_and_pictures_and_sometimes_lacks_the_data_id(self, pages: Pages, movies: list[Movie]) -> None:
        missing = 0
        for movie in movies:
            frames = [frame for frame in pages.contents.frames_of[movie.movie_id] if frame.kind == "poster"]
            page = Selector(pages.photos(movie, {"type": "R"}))
            for item, frame in zip(page.css("ul.poster-col3.clearfix > li"), frames, strict=True):
                assert item.attrib.get("data-id", frame.frame_id) == frame.frame_id
                assert item.css(".prop::text").get() == f"{frame.width_px}x{frame.height_px}"
                source = f"{SITE.images}/view/photo/m/public/p{frame.frame_id}.webp"
                assert item.css(".cover img::attr(src)").get() == source
                missing += "data-id" not in item.attrib
            assert not page.css(".paginator"), "one page has none"
        assert missing

    def test_of_a_kind_without_photos_is_empty(self, pages: Pages, movies: list[Movie]) -> None:
        bare = next(m for m in movies if "wallpaper" not in {f.kind for f in pages.contents.frames_of[m.movie_id]})
        assert not Selector(pages.photos(bare, {"type": "W"})).css(".poster-col3 li, .paginator")


class TestPhotoPage:
    def test_its_big_picture_leads_to_another_photo(self, pages: Pages, world: World) -> None:
        frame = next(f for f in world.contents.frames.values() if len(world.contents.frames_of[f.movie_id]) > 1)
        page = Selector(pages.photo(frame, {}))
        href = page.css("a.mainphoto::attr(href)").get("")
        assert re.fullmatch(rf"{SITE.movie}/photos/photo/\d+/", href)
        assert frame.frame_id not in href
        assert page.css(f'ul.poster-info li a[href="{SITE.movie}/subject/{frame.movie_id}/"]')

    def test_shows_either_like_widget_and_none_where_nobody_likes(self, pages: Pages, world: World) -> None:
        kinds = set()
        for frame in list(world.contents.frames.values())[:150]:
            page, n = Selector(pages.photo(frame, {})), pages.like_count(frame)
            older = page.css(
                f'span.fav-num[data-tid="{frame.frame_id}"][data-tkind="1025"] a[href$="?type=like#sep"]::text'
            )
            newer = page.css(".react-btn .react-num::text")
            texts = [*older.getall(), *newer.getall()]
            assert texts == ([] if n == 0 else [f"{n}人" if frame.widget == "fav" else str(n)])
            kinds.add(frame.widget if n else None)
            assert not page.css(".topic-fav-list"), "only ?type=like lists people"
        assert kinds == {"fav", "react", None}

    def test_lists_each_liker_once_and_the_anonymous_without_a_profile(self, pages: Pages, world: World) -> None:
        frame = max(world.contents.frames.values(), key=pages.like_count)
        found = _walk(lambda query: pages.photo(frame, query), 100)
        assert len(found) > 1
        entries = [entry for page in found for entry in page.css(".topic-fav-list li")]
        assert len(entries) == pages.like_count(frame)
        people = [entry.css('.content > a[href*="/people/"]::attr(href)').get() for entry in entries]
        assert people.count(None) == frame.n_anonymous > 0
        named = [href.split("/")[-2] for href in people if href]
        users = [world.user(uid) for uid in named]
        expected = [like.user_id for like in world.contents.likers_of[frame.frame_id]]
        assert [user.user_id for user in users if user] == expected
        assert all(re.match(r"\d{4}-\d\d-\d\d", entry.css("span.pubtime::text").get("")) for entry in entries)


class TestCollection:
    def test_hidden_items_make_short_pages_that_are_not_the_last(self, pages: Pages, world: World) -> None:
        def hides_early(user: User) -> bool:
            ratings = world.contents.ratings_of[user.user_id]
            return len(ratings) > 15 and any(rating.is_hidden for rating in ratings[:15])

        user = next(user for user in world.contents.users.values() if hides_early(user))
        ratings = world.contents.ratings_of[user.user_id]
        found = _walk(lambda query: pages.collection(user, query), 15)
        assert len(found[0].css("div.item")) < 15
        assert found[0].css("span.next a::attr(href)").get("").startswith(f"/people/{user.uid}/collect?start=15")
        assert found[0].css("link[rel=next]::attr(href)").get() == found[0].css("span.next a::attr(href)").get()
        cids = [cid for page in found for cid in page.css("div.item::attr(data-cid)").getall()]
        assert cids == [rating.comment_id for rating in ratings if not rating.is_hidden]
        heading = found[0].css("#db-usr-profile div.info h1::text").get()
        assert heading == f"{user.name}看过的影视({len(ratings)})"
        assert found[0].css("span.subject-num::text").get() == f"1-15 / {len(ratings)}"
        past = Selector(pages.collection(user, {"start": "9000"}))
        assert not past.css("div.item, span.next a")

    def test_items_show_stars_where_rated_and_deleted_movies_without_a_name(self, pages: Pages, world: World) -> None:
        unknown = unrated = 0
        for user in list(world.contents.users.values())[:80]:
            if user.closing:
                continue
            page = Selector(pages.collection(user, {}))
            ratings = [r for r in world.contents.ratings_of[user.user_id][:15] if not r.is_hidden]
            for item, rating in zip(page.css("div.item.comment-item"), ratings, strict=True):
                is_open = world.contents.movies[rating.movie_id].state == "open"
                stars = item.css("span[class^=rating]::attr(class)").re_first(r"rating(\d)-t")
                assert stars == (str(rating.stars) if rating.stars else None)
                assert item.css("span.date::text").get() == rating.rated_on.isoformat()
                assert item.css("li.title a::attr(href)").get() == f"{SITE.movie}/subject/{rating.movie_id}/"
                assert (item.css("li.title em::text").get() == "未知电影") == (not is_open)
                unknown, unrated = unknown + (not is_open), unrated + (stars is None)
        assert unknown
        assert unrated

    def test_of_a_deleted_user_says_so(self, pages: Pages, world: World) -> None:
        closed = [user for user in world.contents.users.values() if user.closing]
        for user in closed:
            for html in (pages.collection(user, {}), pages.likes(user, {}), pages.person(user)):
                assert re.search("已被永久停用|已经主动注销|已被永久禁言", html)
                assert not Selector(html).css("div.item, .fav-list")
        assert len({user.closing for user in closed}) == 3

    def test_empty_one_claims_nothing(self, pages: Pages, world: World) -> None:
        user = next(
            u for u in world.contents.users.values() if not u.closing and not world.contents.ratings_of[u.user_id]
        )
        page = Selector(pages.collection(user, {}))
        assert page.css("h1::text").get("").endswith("看过的影视(0)")
        assert not page.css("div.item, .paginator")


class TestUserLikes:
    def test_list_each_liked_photo_once(self, pages: Pages, world: World) -> None:
        user_id = max(world.contents.likes_of, key=lambda one: len(world.contents.likes_of[one]))
        user, likes = world.contents.users[user_id], world.contents.likes_of[user_id]
        found = _walk(lambda query: pages.likes(user, query), 15)
        assert len(found) > 1
        items = [item for page in found for item in page.css(".fav-list > li")]
        assert [item.css(".tag-add::attr(data-id)").get() for item in items] == [like.frame_id for like in likes]
        links = [item.css(f'a[href^="{SITE.movie}/photos/photo/"]::attr(href)').get("") for item in items]
        assert [link.split("/")[-2] for link in links] == [like.frame_id for like in likes]
        times = [item.css(".status-item .time::text").get() for item in items]
        assert times == [str(like.liked_at) for like in likes]
        assert found[0].css(".paginator > .next > a::attr(href)").get() == "?start=15"
