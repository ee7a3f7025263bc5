"""A model of the user's own: the README's example in every command, and what is refused."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import torch

from dataset.errors import UsageError
from dataset.snapshots.snapshot import Snapshot
from model import api, compare, evaluate, experiment, recommend, train, tune
from model.data.tables import Tables, index_ids
from model.data.tensors import training_data
from model.models.recommender import Recommender
from model.models.registry import MODELS, data_for, default_config
from model.report.model_styles import style_of

README = Path(__file__).resolve().parents[2] / "model" / "README.md"
NAME = "my_models:BiasedMF"
SMALL = ["--set", "learning_rate=0.02", "--set", "batch_size=32", "--set", "epochs=3"]
HEAD = "from douban_keyframes import EmbeddingScorer, FittedRecommender, TrainableRecommender\n"


def example() -> str:
    """Return the README's `my_models.py`."""
    return re.findall(r"^```python\n(.*?)^```$", README.read_text("utf-8"), re.M | re.S)[0]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that a user works in, which is on Python's path as under `python -m`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(MODELS, "own", {})
    before = set(sys.modules)
    (tmp_path / "my_models.py").write_text(example())
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


def test_the_readmes_model_is_taken_by_every_command(
    folder: Path,
    run_command: Callable[..., tuple[int, str, str]],
    publish_below: Callable[[Path, Tables], Snapshot],
    tables: Tables,
) -> None:
    assert len(example().strip().splitlines()) < 40

    def ran(module: object, *arguments: str) -> str:
        status, out, err = run_command(module.app, *arguments)
        assert status == 0, err
        return out

    publish_below(folder / "data", tables)
    assert f"Training {NAME} on toy v0001" in ran(train, "--model", NAME, "--seed", "5", *SMALL)
    (run,) = (folder / "data" / "runs").glob("*BiasedMF*")
    assert re.fullmatch(r"[\w.-]+", run.name)  # no colon, which Windows and rsync take for something else
    assert f"{NAME} on toy v0001" in ran(evaluate, "--run", str(run))
    assert "recommendations for 30 users" in ran(recommend, "--run", str(run), "--k", "2")
    ran(experiment, "--models", f"{NAME},popular", *SMALL[:-2], "--set", "epochs=2", "--jobs", "1", "--threads", "1")
    report = next((folder / "data" / "experiments").glob("*/report.html")).read_text("utf-8")
    assert "Biased MF" in report
    assert "habit, and how popular a movie is" in report
    assert "#882255" in report
    runs = sorted(path.parent for path in (folder / "data" / "runs").glob("*/user_metrics.parquet"))
    assert f"{NAME} " in ran(compare, "--runs", str(run), str(next(r for r in runs if "popular" in r.name)))
    best = ran(tune, "--model", NAME, *SMALL[:-2], "--set", "epochs=1", "--trials", "1")
    assert f'model = "{NAME}"' in best


def test_the_example_learns_as_bpr_does(folder: Path, publish_tables: Callable[[Tables], Snapshot], tables: Tables):
    data = api.load(publish_tables(tables))
    settings = {"learning_rate": 0.02, "batch_size": 32, "epochs": 20}

    def ndcg(name: str) -> float:
        found = api.evaluate(api.train(name, data, settings=settings), data, "test").metrics
        return found.filter(pl.col("task").cast(pl.String) == "item", metric="full_ndcg", k=5)["value"].item()

    assert ndcg(NAME) == pytest.approx(ndcg("bpr"), abs=0.1)


def test_python_takes_the_class_itself_even_one_that_no_module_has(
    publish_tables: Callable[[Tables], Snapshot], tables: Tables
) -> None:
    space: dict[str, object] = {"__name__": "notebook"}
    sys.modules["notebook"] = type(sys)("notebook")
    try:
        sys.modules["notebook"].__dict__.update(space)
        exec(example(), sys.modules["notebook"].__dict__)
        model = sys.modules["notebook"].BiasedMF
        data = api.load(publish_tables(tables))
        run = api.train(model, data, settings={"epochs": 1, "dim": 4})
    finally:
        del sys.modules["notebook"]
    assert run.model_name == "notebook:BiasedMF"
    assert isinstance(run.model, model)
    assert api.recommend(run, data, n=1).height == 30


REFUSED = {
    "no_such_module:M": "there is no module 'no_such_module'; run the command in the folder that holds it",
    "my_models.sub:M": r"my_models\.py has no 'sub'; if yours is another 'my_models', rename it",
    "model.mine:M": "has no 'mine'; if yours is another 'model', rename it, as this one hides it",
    "json.mine:M": "has no 'mine'; if yours is another 'json', rename it, as this one hides it",
    "my_models:Biased": r"my_models\.py has no 'Biased'; its models are BiasedMF",
    "os:getcwd": "is a builtin_function_or_method, not a class",
    "my_models:torch": "is a module, not a class",
    "my_models:BiasedMFConfig": "is no model; derive it from TrainableRecommender or FittedRecommender",
    "my_models:TrainableRecommender": "is abstract; write its loss, scorer, or name a class that has them",
    "bad:Abstract": "is abstract; write its scorer",
    "bad:NoTypes": r"its constructor names no dataclass of settings; write def __init__\(self, config: MySettings",
    "bad:Anything": "its constructor names no dataclass of settings",
    "bad:Unresolved": "its constructor names no dataclass of settings",
    "bad:NoDefault": "setting 'dim' of Needed needs a default that is a number or a text",
    "bad:Listed": "setting 'dims' of Lists needs a default that is a number or a text",
    "bad:Coloured": "colour 'red' is none; write it as '#0072b2'",
    "model.models.factors.bpr:BPR": "is not your own; use --model bpr",
    "syntax:M": r"syntax cannot be imported \(SyntaxError: ",
    "raises:M": r"raises cannot be imported \(ZeroDivisionError: division by zero\)",
    "leaves:M": r"leaves cannot be imported \(SystemExit: 3\)",
    "needs:M": "needs needs a_library_that_is_not_there, which is not installed",
    "my_models.py:BiasedMF": r"my_models\.py has no 'py'|there is no module",
    "./my_models:BiasedMF": "is named package.module:Class, with dots and without .py",
    "my_models:": "is named package.module:Class",
    ":BiasedMF": "is named package.module:Class",
    "my_models:Biased.MF": "is named package.module:Class",
    "a:b:c": "is named package.module:Class",
    "..my_models:BiasedMF": "is named package.module:Class",
    "my_models.BiasedMF": "is unknown; choose one of jifr, .*, or your own as package.module:Class",
}


@pytest.fixture
def bad(folder: Path) -> Path:
    """The folder with modules in which something is wrong."""
    body = "\n    def fit(self, data): pass\n    def scorer(self): pass\n"
    init = "\n    def __init__(self, config: {}, data, generator): pass"
    classes = [
        ("Abstract", "\n    def fit(self, data): pass\n", ""),
        ("NoTypes", "\n    def __init__(self, config, data, generator): pass" + body, ""),
        ("Anything", init.format("dict") + body, ""),
        ("Unresolved", init.format("'Hidden'") + body, ""),
        ("NoDefault", init.format("Needed") + body, "@dataclass\nclass Needed:\n    dim: int\n"),
        ("Listed", init.format("Lists") + body, "@dataclass\nclass Lists:\n    dims: tuple = (1, 2)\n"),
        ("Coloured", "\n    colour = 'red'" + body, ""),
    ]
    text = "".join(f"{config}class {name}(FittedRecommender):{what}\n" for name, what, config in classes)
    (folder / "bad.py").write_text(f"{HEAD}from dataclasses import dataclass\n{text}")
    (folder / "syntax.py").write_text("class M(:\n")
    (folder / "raises.py").write_text("1 / 0\n")
    (folder / "leaves.py").write_text("import sys\nsys.exit(3)\n")
    (folder / "needs.py").write_text("import a_library_that_is_not_there\n")
    return folder


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_model_is_refused_in_one_line(name: str, bad: Path) -> None:
    with pytest.raises(UsageError, match=REFUSED[name]) as refused:
        default_config(name)
    assert "\n" not in str(refused.value)


def test_a_module_in_this_folder_that_python_does_not_search_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path not in ("", str(tmp_path))])
    (tmp_path / "mine_here.py").write_text(example())
    with pytest.raises(UsageError, match=r"it is in this folder: set PYTHONPATH=\. or install your package"):
        default_config("mine_here:BiasedMF")


def test_commands_refuse_it_before_anything_is_read(
    folder: Path, run_command: Callable[..., tuple[int, str, str]]
) -> None:
    for module in (train, tune):
        status, _, err = run_command(module.app, "--model", "nowhere:M")
        assert (status, err.count("\n")) == (2, 1)
        assert "there is no module 'nowhere'" in err
    assert not (folder / "data").exists()


def test_an_own_model_sees_no_likes(folder: Path, tables: Tables) -> None:
    data = training_data(tables, index_ids(tables))
    assert data.frames.train_likes is not None
    assert data_for(NAME, data).frames.train_likes is None


def test_a_model_whose_module_is_gone_is_shown_by_its_classs_name() -> None:
    style = style_of("gone_from_here:MyModel features=clip")
    assert (style.title, style.words) == ("MyModel (clip)", "")


def test_types_that_are_texts_are_read_too(folder: Path) -> None:
    text = (
        example()
        .replace("import torch\n", "import torch\nfrom typing import TYPE_CHECKING\n")
        .replace(
            "import EmbeddingScorer, TrainableRecommender, TrainingData",
            "import EmbeddingScorer, TrainableRecommender\nif TYPE_CHECKING: from douban_keyframes import TrainingData",
        )
    )
    (folder / "texts.py").write_text(f"from __future__ import annotations\n{text}")
    assert default_config("texts:BiasedMF").dim == 32


def test_a_subclass_of_ours_takes_its_settings(folder: Path) -> None:
    (folder / "sub.py").write_text("from model.models.factors.bpr import BPR\nclass Mine(BPR):\n    pass\n")
    kind = MODELS["sub:Mine"]
    assert issubclass(kind.model_class, Recommender)
    assert kind.config == default_config("bpr")
    assert torch.nn.Module in kind.model_class.__mro__
