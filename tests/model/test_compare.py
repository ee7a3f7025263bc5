"""The command that compares evaluated runs."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from dataset.files import write_json
from dataset.tables import read_table, write_table
from model import compare
from model.schema import Comparison, UserMetric

N_USERS = 200


@pytest.fixture
def command(run_command: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Run the command with arguments in an empty working folder; return exit status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    return partial(run_command, compare.app)


def _description(model: str, seed: int, digest: str = "d", **config: int) -> dict[str, object]:
    training = {"learning_rate": 0.1}
    snapshot = {"name": "toy", "version": 1, "content_digest": digest * 64, "path": "nowhere"}
    return {"model": model, "seed": seed, "snapshot": snapshot, "config": config, "training": training}


def _evaluated(model: str, seed: int, gain: float, digest: str = "d", runs: str = "data/runs", **config: int) -> str:
    """Write an evaluated run; all models have the same users, easy and hard ones."""
    folder = Path(runs) / f"{model}-{seed}"
    folder.mkdir(parents=True)
    write_json(folder / "config.json", _description(model, seed, digest, **config))
    ease = np.random.default_rng(0).random(N_USERS) * 0.5
    noise = np.random.default_rng([seed, *model.encode()]).normal(0, 0.02, N_USERS)
    rows = pl.DataFrame({
        "model": model, "seed": seed, "task": "item", "metric": "ndcg", "k": 15,
        "user_id": [f"u{user:03d}" for user in range(N_USERS)], "movie_id": "", "value": 0.2 + ease + gain + noise,
    })  # fmt: skip
    columns = {name: column.dtype for name, column in UserMetric.columns().items()}
    write_table(rows.cast(columns), UserMetric, folder / "user_metrics.parquet")
    return str(folder)


def test_it_tells_a_real_difference_from_one_that_may_be_chance(command) -> None:
    for model, gain in (("better", 0.05), ("one", 0.0), ("same", 0.0)):
        _evaluated(model, 0, gain)
    status, out, err = command()
    assert status == 0, err
    assert "item NDCG@15, 200 users:" in out
    assert out.count(": real") == 2
    assert out.count("may be chance") == 1
    table = read_table(Path("data/runs/comparisons.parquet"), Comparison)
    assert table.select("model", "other", "is_real").rows() == [
        ("better", "one", True), ("better", "same", True), ("one", "same", False),
    ]  # fmt: skip
    assert table["difference"].to_list() == pytest.approx([0.05, 0.05, 0], abs=0.01)
    assert (table["p_holm"] >= table["p_value"]).all()


def test_runs_of_several_seeds_are_one_model_and_the_table_goes_where_it_is_asked(command) -> None:
    runs = [_evaluated(model, seed, gain) for model, gain in (("a", 0.0), ("b", 0.05)) for seed in (0, 1)]
    status, _, err = command("--runs", *runs, "--to", "c.parquet")
    assert status == 0, err
    row = read_table(Path("c.parquet"), Comparison).row(0, named=True)
    assert (row["n_seeds"], row["other_n_seeds"], row["n_users"]) == (2, 2, N_USERS)


def test_runs_of_one_model_with_other_settings_are_told_apart_by_them(command) -> None:
    runs = [_evaluated("a", 0, gain, runs=f"dim{dim}", dim=dim, width=8) for dim, gain in ((16, 0.0), (32, 0.05))]
    status, out, err = command("--runs", *runs, _evaluated("b", 0, 0.0, dim=64))
    assert status == 0, err
    table = read_table(Path("dim16/comparisons.parquet"), Comparison)
    assert set(table["model"]) | set(table["other"]) == {"a dim=16", "a dim=32", "b"}
    assert "a dim=32" in out


def test_what_cannot_be_compared_is_refused_in_one_line(command) -> None:
    first, other_data = _evaluated("a", 0, 0.0), _evaluated("b", 0, 0.0, digest="e")
    not_evaluated = Path("data/runs/c-0")
    not_evaluated.mkdir()
    write_json(not_evaluated / "config.json", _description("c", 0))
    for arguments, code, words in (
        (["--runs", first, other_data], 2, "were trained on different snapshots; compare runs on the same data"),
        (["--runs", first, str(not_evaluated)], 1, "run `python -m model.evaluate --run data/runs/c-0` first"),
        (["--runs", first], 1, "1 model, so there is nothing to compare"),
        (["--runs", "nowhere"], 1, "nowhere: not a run"),
        (["--runs", first, first, other_data], 2, "different snapshots"),
    ):
        status, _, err = command(*arguments)
        assert (status, err.count("\n")) == (code, 1), err
        assert words in err


def test_two_runs_of_one_model_and_seed_are_refused(command) -> None:
    first, copy = _evaluated("a", 0, 0.0), Path("data/runs/copy")
    copy.mkdir()
    for name in ("config.json", "user_metrics.parquet"):
        (copy / name).write_bytes((Path(first) / name).read_bytes())
    status, _, err = command("--runs", first, str(copy))
    assert status == 2
    assert "are both a with seed 0; give only one of them" in err
