"""The experiment and its report: every number of the page is found again in the tables."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from PIL import Image as PillowImage

from dataset.errors import UsageError
from dataset.files import sha256_of_file
from dataset.schema import Image, Metric, Recommendation, Training, UserMetric
from dataset.snapshot import Snapshot
from dataset.tables import read_table, write_table
from model.experiment import ExperimentConfig, main, run_experiment
from model.interactions import Tables

Publish = Callable[[Tables], Snapshot]


def pictures_of(tables: Tables, raw: Path) -> Path:
    """Write a raw folder with one small picture for every frame."""
    raw.mkdir()
    PillowImage.new("RGB", (32, 20), "teal").save(raw / "p.png")
    columns = {
        "frame_id": tables.frames["frame_id"],
        "image_sha256": sha256_of_file(raw / "p.png"),
        "format": "png",
        "width_px": 32,
        "height_px": 20,
        "size_bytes": (raw / "p.png").stat().st_size,
        "path": "p.png",
    }
    types = {name: column.dtype for name, column in Image.columns().items()}
    write_table(pl.DataFrame(columns).cast(types), Image, raw / "images.parquet")
    return raw


def experiment(snapshot: Snapshot, folder: Path, *models: str, raw: Path | None = None) -> tuple[str, Path]:
    report = run_experiment(snapshot, ExperimentConfig(models), folder / "experiment", folder / "runs", raw)
    return report.read_text(encoding="utf-8"), report.parent


def test_every_number_of_the_results_is_found_again_in_the_tables(
    publish_tables: Publish, tables: Tables, tmp_path: Path
) -> None:
    page, folder = experiment(publish_tables(tables), tmp_path, "jifr", "popular", "random")
    metrics = read_table(folder / "metrics.parquet", Metric)
    read_table(folder / "user_metrics.parquet", UserMetric)
    read_table(folder / "training.parquet", Training)
    assert read_table(folder / "recommendations.parquet", Recommendation)["user_id"].n_unique() == 30
    shown = 0
    for task, k in (("item", 15), ("frame", 3)):
        section = page[page.index(f'id="task-{task}"') :].split("</table>")[0]
        rows = re.findall(r'<th scope="row">(.*?)</th>(.*?)</tr>', section)
        titles = {"JIFR": "jifr", "most popular": "popular", "random": "random"}
        for title, cells in rows:
            hr, ndcg, interval, _ = re.findall(r'<td class="n">(.*?)</td>', cells)
            at_k = metrics.filter(pl.col("task").cast(pl.String) == task, k=k, model=titles[title])
            of = {row["metric"]: row for row in at_k.iter_rows(named=True)}
            assert hr == f"{of['hr']['value']:.4f}"
            assert ndcg == f"{of['ndcg']['value']:.4f}"
            assert interval == f"{of['ndcg']['ci_low']:.4f} – {of['ndcg']['ci_high']:.4f}"
            shown += 1
    assert shown == 3 + 2  # most popular ranks no frames


def test_the_page_is_one_file_that_asks_the_network_for_nothing(
    publish_tables: Publish, tables: Tables, tmp_path: Path
) -> None:
    raw = pictures_of(tables, tmp_path / "raw")
    page, _ = experiment(publish_tables(tables), tmp_path, "jifr", "random", raw=raw)
    sources = re.findall(r'(?:src|href)="(.*?)"', page)
    assert sources
    assert all(source.startswith(("data:", "#")) for source in sources)
    assert "@import" not in page
    assert "url(" not in page.replace("url(#", "")
    assert "<script" not in page
    assert page.count("<svg") == 5  # two metrics of two tasks, and training
    assert page.count('class="case"') >= 1
    assert "Random weights." in page


def test_titles_cannot_break_the_page(publish_tables: Publish, tables: Tables, tmp_path: Path) -> None:
    named = replace(tables, movies=tables.movies.with_columns(title=pl.lit("<script>alert(1)</script>")))
    raw = pictures_of(tables, tmp_path / "raw")
    page, _ = experiment(publish_tables(named), tmp_path, "jifr", raw=raw)
    assert "<script" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("likes", "Key frames were not judged"),
        ("features", "Key frames were not judged"),
        ("pictures", "picture not on disk"),
    ],
)
def test_a_missing_part_is_said_and_does_not_stop_the_report(
    missing: str, words: str, publish_tables: Publish, tables: Tables, tmp_path: Path
) -> None:
    models = ["jifr", "bpr"]
    if missing == "likes":
        tables = replace(tables, frame_likes=tables.frame_likes.head(0))
    if missing == "features":
        tables = replace(tables, frame_features=None, frame_likes=tables.frame_likes.head(0))
    page, _ = experiment(publish_tables(tables), tmp_path, *models)
    assert words in page
    assert ("JIFR" in page.split("<main>")[1].split('id="gallery"')[0]) == (missing != "features")


def test_an_unknown_model_or_seed_is_refused_before_anything_runs(
    publish_tables: Publish, tables: Tables, tmp_path: Path
) -> None:
    snapshot = publish_tables(tables)
    with pytest.raises(UsageError, match="model 'best' is unknown; choose one of jifr"):
        experiment(snapshot, tmp_path, "popular", "best")
    assert not (tmp_path / "runs").exists()
    with pytest.raises(UsageError, match="must be whole numbers"):
        main(["--seeds", "one", "--snapshot", str(snapshot.path)])


def test_models_that_need_features_alone_cannot_run_without_them(
    publish_tables: Publish, tables: Tables, tmp_path: Path
) -> None:
    snapshot = publish_tables(replace(tables, frame_features=None))
    with pytest.raises(UsageError, match=r"no frame features.*add bpr"):
        experiment(snapshot, tmp_path, "jifr")
