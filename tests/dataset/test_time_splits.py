"""Leave-one-out and cut-offs in time: who is held out, and what happens at the edges."""

import itertools
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import polars as pl
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset.building.build import DatasetConfig, build
from dataset.building.feedback import FeedbackConfig
from dataset.building.split import SplitConfig
from dataset.building.split import split as split_interactions
from dataset.commands import building
from dataset.errors import InvalidTableError, UsageError
from dataset.schema import RAW_TABLES, Movie, Rating
from dataset.snapshots.datasheet import split_in_words
from dataset.tables import empty, fill_columns, write_table

Row = tuple[str, str, datetime | date | None]
MAY = [datetime(2024, 5, day, 12, tzinfo=UTC) for day in range(1, 11)]


def feedback(rows: list[Row]) -> pl.DataFrame:
    """Return interactions with a time, a day only, or no date."""
    table = [
        (user, movie, when if when is None or not isinstance(when, datetime) else when.date(), when)
        for user, movie, when in rows
    ]
    return pl.DataFrame(
        [(*row[:3], row[3] if isinstance(row[3], datetime) else None) for row in table],
        schema={
            "user_id": pl.String, "movie_id": pl.String, "rated_on": pl.Date, "rated_at": pl.Datetime("us", "UTC"),
        },
        orient="row",
    ).with_columns(stars=pl.lit(None, pl.Float32))  # fmt: skip


def sides(rows: list[Row], **options: object) -> dict[str, str]:
    """Return the split of each movie; every movie has one user here."""
    split = split_interactions(feedback(rows), SplitConfig(**options))  # type: ignore[arg-type]
    return dict(split.select("movie_id", pl.col("split").cast(pl.String)).rows())


def one_user(n: int) -> list[Row]:
    return [("u", f"m{place}", MAY[place]) for place in range(n)]


@pytest.mark.parametrize(
    ("n", "shares", "held_out"),
    [
        (1, (0.1, 0.2), {}),
        (2, (0.1, 0.2), {"m1": "test"}),
        (3, (0.1, 0.2), {"m2": "test", "m1": "validation"}),
        (5, (0.1, 0.2), {"m4": "test", "m3": "validation"}),
        (5, (0.0, 0.2), {"m4": "test"}),
        (5, (0.1, 0.0), {"m4": "validation"}),
        (1, (0.1, 0.0), {}),
        (2, (0.1, 0.0), {"m1": "validation"}),
        (5, (0.0, 0.0), {}),
    ],
)
def test_the_newest_is_test_the_one_before_validation_and_one_always_stays_in_train(
    n: int, shares: tuple[float, float], held_out: dict[str, str]
) -> None:
    validation, test = shares
    found = sides(one_user(n), strategy="leave-one-out", validation_share=validation, test_share=test)
    assert found == {f"m{place}": "train" for place in range(n)} | held_out


def test_leave_one_out_reads_the_time_of_day() -> None:
    hours: list[Row] = [("u", f"m{hour}", datetime(2024, 5, 1, hour, tzinfo=UTC)) for hour in (9, 22, 3)]
    assert sides(hours, strategy="leave-one-out") == {"m22": "test", "m9": "validation", "m3": "train"}


def test_of_one_moment_the_seed_decides_and_every_item_can_be_held_out() -> None:
    same: list[Row] = [("u", f"m{place}", date(2024, 5, 1)) for place in range(3)]
    found = [sides(same, strategy="leave-one-out", seed=seed) for seed in range(40)]
    assert found[0] == sides(same, strategy="leave-one-out", seed=0)
    for movie in ("m0", "m1", "m2"):
        assert {one[movie] for one in found} == {"train", "validation", "test"}


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(0, 3)), min_size=1, max_size=40,
             unique_by=lambda row: row[:2]),
    st.integers(0, 3), st.sampled_from(["leave-one-out", "leave-one-out-random"]),
)  # fmt: skip
def test_each_user_has_one_of_each_and_nothing_held_out_is_older_than_train(
    edges: list[tuple[int, int, int]], seed: int, strategy: str
) -> None:
    rows = feedback([(str(user), str(movie), MAY[day]) for user, movie, day in edges])
    split = split_interactions(rows, SplitConfig(seed, strategy=strategy))  # type: ignore[arg-type]
    assert split.height == rows.height
    for _, of_user in split.group_by("user_id"):
        parts = {name[0]: part["rated_at"] for name, part in of_user.group_by(pl.col("split").cast(pl.String))}
        n = of_user.height
        assert (len(parts.get("test", [])), len(parts.get("validation", []))) == (int(n > 1), int(n > 2))
        if strategy == "leave-one-out":
            ordered = [parts[name] for name in ("train", "validation", "test") if name in parts]
            assert all(old.max() <= new.min() for old, new in itertools.pairwise(ordered))


def test_a_random_one_needs_no_dates() -> None:
    rows: list[Row] = [("u", f"m{place}", None) for place in range(4)]
    assert sorted(sides(rows, strategy="leave-one-out-random").values()) == ["test", "train", "train", "validation"]


@pytest.mark.parametrize("options", [{"strategy": "leave-one-out"}, {"strategy": "cut-off", "test_from": MAY[5]}])
def test_an_interaction_without_a_date_is_refused_with_the_remedy(options: dict[str, object]) -> None:
    rows = [*one_user(3), ("u", "undated", None)]
    with pytest.raises(InvalidTableError, match=r"1 of 4 interactions have no date, which --split .* needs.*--since"):
        sides(rows, **options)


def test_an_interaction_at_a_cut_off_is_on_its_later_side() -> None:
    found = sides(one_user(6), strategy="cut-off", test_from=MAY[4], validation_from=MAY[2])
    assert list(found.values()) == ["train", "train", "validation", "validation", "test", "test"]
    second = timedelta(seconds=1)
    found = sides(one_user(6), strategy="cut-off", test_from=MAY[4] + second, validation_from=MAY[2] + second)
    assert list(found.values()) == ["train", "train", "train", "validation", "validation", "test"]


@pytest.mark.parametrize(("share", "n_validation"), [(0.0, 0), (0.25, 2), (0.5, 4)])
def test_without_a_cut_off_of_its_own_validation_is_the_newest_share_of_what_is_before_test(
    share: float, n_validation: int
) -> None:
    found = sides(one_user(10), strategy="cut-off", test_from=MAY[8], validation_share=share)
    n_train = 8 - n_validation
    assert list(found.values()) == ["train"] * n_train + ["validation"] * n_validation + ["test"] * 2


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2024, 5, 5, 12, tzinfo=UTC),
        datetime(2024, 5, 5, 12),
        datetime(2024, 5, 5, 20, tzinfo=timezone(timedelta(hours=8))),
        "2024-05-05T12:00:00",
        "2024-05-05T14:00:00+02:00",
    ],
)
def test_a_moment_is_in_utc_unless_it_says_otherwise(moment: object) -> None:
    assert sides(one_user(6), strategy="cut-off", test_from=moment, validation_share=0)["m4"] == "test"
    assert SplitConfig(strategy="cut-off", test_from=moment).test_from == MAY[4]  # type: ignore[arg-type]


DAYS: list[Row] = [("u", f"m{day}", date(2024, 5, day)) for day in (1, 2, 3)]


def test_a_row_of_which_only_the_day_is_known_is_at_the_start_of_its_day() -> None:
    found = sides(DAYS, strategy="cut-off", test_from=date(2024, 5, 3), validation_share=0)
    assert found == {"m1": "train", "m2": "train", "m3": "test"}


def test_a_cut_off_within_a_day_of_which_a_row_has_no_time_is_refused() -> None:
    options = {"strategy": "cut-off", "test_from": datetime(2024, 5, 3, 18), "validation_share": 0}
    with pytest.raises(UsageError, match=r"--test-from 2024-05-03T18:00:00: of 1 interactions.*start of a day"):
        sides([*DAYS, ("u", "m4", MAY[8])], **options)
    assert sides([*DAYS[:2], ("u", "m4", MAY[8])], **options)["m4"] == "test"  # no such row is of that day


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"test_from": date(2030, 1, 1)},
            "no interaction is in test .*from 2024-05-01 12:00:00 to 2024-05-10",
        ),
        ({"test_from": date(2000, 1, 1)}, "no interaction is in train"),
        ({"test_from": MAY[5], "validation_from": date(2000, 1, 1)}, "no interaction is in train"),
        ({"test_from": MAY[5], "validation_from": MAY[4] + timedelta(hours=1)}, "no interaction is in validation"),
    ],
)
def test_a_cut_off_outside_of_the_data_is_refused_with_the_range_of_the_data(
    options: dict[str, object], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        sides(one_user(10), strategy="cut-off", **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"strategy": "cut-off"}, "needs the first moment of test: --test-from"),
        ({"strategy": "cut-off", "test_from": MAY[1], "validation_from": MAY[1]}, "must be before --test-from"),
        ({"test_from": MAY[1]}, "need --split cut-off, not random"),
        ({"strategy": "temporal", "validation_from": MAY[1]}, "need --split cut-off, not temporal"),
        ({"strategy": "cut-off", "test_from": "May"}, "valid datetime"),
    ],
)
def test_options_that_do_not_belong_together_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises((UsageError, pydantic.ValidationError), match=words):
        SplitConfig(**options)  # type: ignore[arg-type]


CONFIGS = {
    "random": ({}, "0.1 for validation and 0.2 for test of the interactions, drawn at random (seed 7)"),
    "per-user": ({}, "at least one stays in train"),
    "temporal": ({}, "interactions of the moment at a cut are in random order (seed 7)"),
    "stable": ({}, "(key 7)"),
    "leave-one-out": (
        {},
        "the last interaction is test and the one before it validation, by time; ",
    ),
    "leave-one-out-random": ({"validation_share": 0.0}, "the last interaction is test, in random order (seed 7)"),
    "cut-off": (
        {"test_from": MAY[4], "validation_from": date(2024, 5, 3)},
        "everything from 2024-05-05 12:00:00 (UTC) on is test; before it, everything from 2024-05-03 (UTC) on is "
        "validation. An interaction at a cut-off is on its later side, and one of which only the day is known is at",
    ),
}


@pytest.mark.parametrize("strategy", CONFIGS)
def test_build_says_how_it_split_and_what_happens_at_the_edges(run_command, tmp_path: Path, strategy: str) -> None:
    options, words = CONFIGS[strategy]
    rows: list[Row] = [(f"u{user}", f"m{place}", MAY[place]) for user in range(3) for place in range(8)]
    tables = {name: empty(schema) for name, schema in RAW_TABLES.items()}
    movies = pl.DataFrame({"movie_id": [f"m{place}" for place in range(8)], "title": "", "genres": [[""]] * 8})
    tables["movies"] = fill_columns(movies.with_columns(directors=pl.col("genres")), Movie)
    tables["ratings"] = fill_columns(feedback(rows), Rating)
    raw = tmp_path / "raw"
    for name, schema in RAW_TABLES.items():
        write_table(tables[name], schema, raw / f"{name}.parquet")
    config = DatasetConfig(2, 2, FeedbackConfig(), SplitConfig(seed=7, strategy=strategy, **options))  # type: ignore[arg-type]
    built = build(raw, tmp_path / "dataset", config)
    said = split_in_words(built.description["config"])
    assert said.startswith(f"{strategy}: ")
    assert words in said
    if strategy == "cut-off":
        arguments = ["--test-from", "2024-05-05T12:00:00", "--validation-from", "2024-05-03"]
        app = building_app()
        again = run_command(
            app, "--raw", raw, "--to", tmp_path / "again", "--k-user", "2", "--k-item", "2", "--split", strategy,
            "--seed", "7", *arguments,
        )  # fmt: skip
        assert again.returncode == 0, again.stderr
        assert words in again.stdout
        first, second = (pl.read_parquet(tmp_path / name / "interactions.parquet") for name in ("dataset", "again"))
        assert first.equals(second)


def building_app():
    from dataset.cli import command_line

    app = command_line("python -m dataset build")
    app.default(building.build_dataset)
    return app


def test_a_configuration_of_an_older_version_says_nothing() -> None:
    assert split_in_words({}) == ""
    assert split_in_words({"split": {"strategy": "unheard of"}}) == ""
