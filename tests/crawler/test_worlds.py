"""The invented worlds: the same on every machine, looks that nothing else depends on, tables and pages alike."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from crawler.__main__ import main
from crawler.sandbox.drawn import SCENES
from crawler.sandbox.truth import truth
from crawler.sandbox.world import WorldConfig, generate_world
from crawler.worlds.catalogue import N_FILLERS, N_LOOKS
from crawler.worlds.features import bank_features, frame_features
from crawler.worlds.oracle import looks_of_choices
from crawler.worlds.presets import PRESETS, Preset
from crawler.worlds.tables import digest, raw_tables
from crawler.worlds.watching import REASONS
from crawler.worlds.world import DrawnWorld, draw_world
from dataset.building.build import DatasetConfig, build
from dataset.errors import UsageError

SMALL = replace(PRESETS["paper"], n_users=300, n_movies=240, n_countries=3, mean_watched=20, mean_frames=6)

# A change of these digests is a change of the generator or of a preset: raise its version and list it in CHANGES.
DIGESTS = {
    "demo": "c9ded4c37663c3baab062b6b98c70fda9d858f2133320488d3721eb2be0bd6df",
    "paper": "af3962cc1092b17074bc332fa771e382e1819c0a6ff56bf0a750d6666869e824",
}


@pytest.fixture(scope="module")
def small() -> DrawnWorld:
    return draw_world(SMALL, 5)


@pytest.fixture(scope="module")
def paper() -> DrawnWorld:
    return draw_world(PRESETS["paper"], 7)


def test_a_preset_and_a_seed_give_these_tables_on_every_machine(paper: DrawnWorld) -> None:
    assert all(PRESETS[name].version == 1 for name in PRESETS)
    assert {"demo": digest(draw_world(PRESETS["demo"], 7)), "paper": digest(paper)} == DIGESTS


def test_another_seed_gives_another_world(small: DrawnWorld) -> None:
    assert digest(draw_world(SMALL, 6)) != digest(small)


def test_every_preset_is_under_its_name() -> None:
    assert all(name == preset.name for name, preset in PRESETS.items())


def test_the_pages_of_a_preset_show_its_tables() -> None:
    drawn = raw_tables(draw_world(PRESETS["demo"], 3))
    shown = truth(generate_world(WorldConfig(seed=3, preset="demo")), picture_size=None)
    for name, columns in {
        "movies": ["movie_id", "title", "original_title", "year", "kind", "genres", "directors"],
        "ratings": ["user_id", "movie_id", "stars", "rated_on"],
        "frames": ["frame_id", "movie_id", "kind", "position"],
        "frame_likes": ["user_id", "frame_id", "liked_on", "source"],
    }.items():
        one, other = (tables[name].select(columns).sort(columns[:2]) for tables in (drawn, shown))
        assert one.equals(other), name


def test_each_scene_has_a_painter() -> None:
    assert len(SCENES) == N_LOOKS + N_FILLERS == len(bank_features(2, 4))


def test_series_directors_and_countries_are_independent_of_looks(paper: DrawnWorld) -> None:
    """Sums of independent chi-squares: their mean is the degrees of freedom, their variance twice that."""
    world = paper
    looks = world.frames.looks
    main_look = np.where(looks.any(1), np.argmax(looks, axis=1), N_LOOKS)
    catalogue = world.catalogue
    for labels in (catalogue.series, catalogue.directors, catalogue.countries, catalogue.genres[:, 0], catalogue.years):
        named = labels >= 0
        table = np.zeros((int(labels.max()) + 1, N_LOOKS + 1))
        np.add.at(table, (labels[named], main_look[named]), 1)
        table = table[table.sum(1) > 0]
        expected = table.sum(1, keepdims=True) * table.sum(0) / table.sum()
        freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
        excess = (((table - expected) ** 2 / expected).sum() - freedom) / np.sqrt(2 * freedom)
        assert abs(excess) < 4


@pytest.mark.parametrize("name", ["no_looks", "random_likes", "exchanged_frames"])
def test_other_looks_leave_series_and_directors_as_they_are(name: str) -> None:
    one, other = draw_world(SMALL, 1), draw_world(_small(name), 1)
    assert np.array_equal(one.catalogue.series, other.catalogue.series)
    assert np.array_equal(one.catalogue.directors, other.catalogue.directors)


def _small(name: str, n_users: int = SMALL.n_users) -> Preset:
    """Return a small world in which looks act as in the preset."""
    like = PRESETS[name]
    return replace(SMALL, n_users=n_users, looks=like.looks, frames=like.frames, likes=like.likes)


def test_nobody_watches_a_movie_twice_and_likes_are_of_watched_movies(small: DrawnWorld) -> None:
    tables = raw_tables(small)
    assert tables["ratings"].select("user_id", "movie_id").is_unique().all()
    liked = tables["frame_likes"].join(tables["frames"].select("frame_id", "movie_id"), on="frame_id")
    assert liked.join(tables["ratings"], on=["user_id", "movie_id"], how="semi").height == liked.height > 0


def test_the_likes_per_watched_movie_are_the_papers(paper: DrawnWorld) -> None:
    assert len(paper.likes.frames) / len(paper.watched.users) == pytest.approx(0.048, abs=0.006)


def test_people_watch_for_every_reason_and_often_go_on_with_it(small: DrawnWorld) -> None:
    assert set(small.watched.reasons.tolist()) == set(range(len(REASONS)))
    of_series = REASONS.index("series")
    next_one = small.watched.reasons[1:][small.watched.reasons[:-1] == of_series]
    assert (next_one == of_series).mean() > 3 * (small.watched.reasons == of_series).mean()


def _gap(preset: Preset, seed: int) -> float:
    """Return how much more often people's movies show a look that they love than all movies, weighted alike, do."""
    world = draw_world(preset, seed)
    movies, users = world.watched.movies, world.watched.users
    on_pages = np.zeros_like(world.frames.looks)
    shown = world.frames.shown >= 0
    on_pages[world.frames.movies[shown], world.frames.shown[shown]] = True
    loves = world.people.loves()
    others = np.roll(loves, 1, axis=0)
    return float((on_pages[movies] & loves[users]).any(1).mean() - (on_pages[movies] & others[users]).any(1).mean())


@pytest.mark.parametrize(("name", "least", "most"), [
    ("paper", 0.08, 1.0), ("best_frame", 0.08, 1.0), ("no_looks", -0.04, 0.04), ("exchanged_frames", -0.04, 0.04),
])  # fmt: skip
def test_people_choose_what_looks_as_they_love_only_where_looks_play_a_part(
    name: str, least: float, most: float
) -> None:
    assert least < _gap(_small(name, 600), 4) < most


def test_disliked_looks_are_avoided() -> None:
    world = draw_world(replace(SMALL, looks="disliked"), 4)
    shown = world.frames.looks[world.watched.movies]
    hated = shown[np.arange(len(shown)), world.people.disliked[world.watched.users]].mean()
    assert hated < 0.95 * shown.mean()


def test_the_best_frame_is_the_only_one_with_its_look() -> None:
    world = draw_world(replace(SMALL, looks="best_frame"), 4)
    showing = np.bincount(world.frames.movies[world.frames.shown >= 0], minlength=SMALL.n_movies)
    assert set(showing.tolist()) == {0, 1, 2}


@pytest.mark.parametrize(("name", "is_by_looks"), [("paper", True), ("no_looks", True), ("random_likes", False)])
def test_liked_frames_show_loved_looks_unless_likes_are_random(name: str, is_by_looks: bool) -> None:
    world = draw_world(replace(_small(name), likes_per_pair=0.3), 4)
    shown = world.frames.shown[world.likes.frames]
    loved = (world.people.loved[world.watched.users[world.likes.watched]] == shown[:, None]).any(1).mean()
    assert (loved > 0.1) == is_by_looks


def test_an_oracle_gains_from_looks_only_where_they_play_a_part(small: DrawnWorld) -> None:
    found = looks_of_choices(small, 0)
    assert 0.1 < found.decided < 0.25
    assert found.with_looks > found.without_looks
    null = looks_of_choices(draw_world(replace(SMALL, looks="none"), 5), 0)
    assert null.decided == 0


def test_pictures_of_a_scene_differ_but_are_nearer_to_each_other(small: DrawnWorld) -> None:
    bank = bank_features(20, 64).astype(np.float64)
    assert len(np.unique(bank.reshape(-1, 64), axis=0)) == 20 * len(bank)
    centred = bank - bank.mean((0, 1))
    own = np.einsum("spf,sqf->", centred, centred) / (len(bank) * 400)
    every = np.einsum("spf,tqf->", centred, centred) / (len(bank) ** 2 * 400)
    assert own > every
    assert frame_features(small, 8).height == raw_tables(small)["frames"].height


def test_the_command_writes_a_raw_folder_that_a_build_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = tmp_path / "raw"
    main(["world", "--preset", "demo", "--seed", "3", "--width", "8", "--to", str(raw)])
    assert "Drew demo (version 1), seed 3" in capsys.readouterr().out
    built = build(raw, tmp_path / "dataset", DatasetConfig())
    assert built.description["provenance"]["world"]["preset"] == "demo"
    assert pl.read_parquet(raw / "features.parquet").height == pl.read_parquet(raw / "frames.parquet").height
    with pytest.raises(UsageError, match="--replace"):
        main(["world", "--preset", "demo", "--to", str(raw)])


def test_a_served_world_has_its_own_size() -> None:
    with pytest.raises(UsageError, match="leave out --users"):
        main(["sandbox", "--world", "demo", "--users", "50"])
