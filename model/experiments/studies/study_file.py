"""Reads a study file. All of it is checked before anything runs; an error names the file, the key and the remedy.

    snapshots = ["data/snapshots/sandbox/v0001"]   # the newest one if absent
    features = ["main", "shuffled"]                # feature sets and arms to compare
    seeds = [0, 1, 2]
    devices = ["cuda:0", "cuda:1"]                 # a process for each, also in searches; the CPU if absent
    unequal = true                                 # searches may have different numbers of trials

    [folds]                                        # judge k folds of train and validation in place of the test split
    k = 5
    seed = 0

    [training]                                     # for all models
    epochs = 100

    [evaluation]                                   # protocol, item_ks, frame_ks, n_negatives, n_repeats, seed
    protocol = "exact"

    [statistics]                                   # n_bootstrap, baseline, metrics
    baseline = "bpr"                               # all others are compared with it; all pairs if absent

    [models.bpr]                                   # settings as for `--set`
    dim = 32

    [models.jifr]                                  # a search on validation, and its budget
    try = { "collaborative_dim,visual_dim" = [16, 32], l2 = "0.0001..0.1" }
    trials = 10

    [models.tuned]                                 # a model that has another name here
    model = "vbpr"
    config = "data/tuning/vbpr-sandbox-v0001-0-1a2b3c4d/best.toml"

    [lists.theirs]                                 # recommendations of another tool: a file per seed, or one
    files = ["theirs-0.tsv", "theirs-1.tsv", "theirs-2.tsv"]
    item_column = "product"                        # user_column, item_column, score_column, rank_column

Paths are relative to the current folder, as on command lines.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

from optuna.distributions import CategoricalDistribution
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, ValidationError

from dataset.cli import LARGEST_SEED
from dataset.errors import MissingInputError, PipelineError, UsageError
from dataset.snapshots.snapshot import Fold
from model.evaluation.config import EvaluationConfig, ListColumns, Protocol
from model.evaluation.evaluate import PAPER_METRICS
from model.evaluation.metrics import METRICS
from model.experiments.search.space import make_space, read_space
from model.experiments.settings import read_settings
from model.experiments.studies.fairness import require_equal_budgets
from model.experiments.studies.study import FOLD, Study, StudyLists, StudyModel, require_devices
from model.models.names import MODEL_NAMES
from model.models.registry import default_config
from model.training.config import TrainingConfig

_Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
_Ks = Annotated[list[Annotated[int, Field(ge=1, le=100_000)]], Field(min_length=1)]
_DEFAULT = EvaluationConfig()
_OWN_KEYS = ("model", "config", "try", "trials", "prune")
_MISSING = {
    "models": "at least one model, for example [models.bpr]",
    "k": "the number of folds, for example k = 5",
    "files": 'a file per seed, or one, for example files = ["theirs.tsv"]',
}
_NAME = re.compile(r"[\w.-]{1,64}", re.ASCII)
_METRICS = (
    *PAPER_METRICS,
    *(f"sampled_{name}" for name in PAPER_METRICS),
    *(f"full_{name}" for name in METRICS),
    "full_arp",
)


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Evaluation(_Table):
    protocol: Protocol = _DEFAULT.protocol
    item_ks: _Ks = list(_DEFAULT.item_ks)
    frame_ks: _Ks = list(_DEFAULT.frame_ks)
    n_negatives: PositiveInt = _DEFAULT.n_negatives
    n_repeats: PositiveInt = _DEFAULT.n_repeats
    seed: NonNegativeInt = _DEFAULT.seed


class _Statistics(_Table):
    n_bootstrap: PositiveInt = _DEFAULT.n_bootstrap
    baseline: str | None = None
    metrics: Annotated[list[str], Field(min_length=1)] | None = None


class _Folds(_Table):
    k: Annotated[int, Field(ge=3, le=100)]
    seed: Annotated[int, Field(ge=0, le=LARGEST_SEED)] = 0


class _Lists(_Table):
    files: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]
    user_column: str | None = None
    item_column: str | None = None
    score_column: str | None = None
    rank_column: str | None = None


class _Model(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True, frozen=True)
    model: str | None = None
    config: str | None = None
    tried: dict[str, Any] | str | None = Field(default=None, alias="try")
    trials: PositiveInt | None = None
    prune: bool = True


class _File(_Table):
    snapshots: Annotated[list[str], Field(min_length=1)] | None = None
    features: list[str] = []
    seeds: Annotated[list[_Seed], Field(min_length=1)] = [0]
    training: dict[str, Any] = {}
    evaluation: _Evaluation = _Evaluation()
    statistics: _Statistics = _Statistics()
    devices: Annotated[list[str], Field(min_length=1)] | None = None
    folds: _Folds | None = None
    lists: dict[str, _Lists] = {}
    unequal: bool = False
    models: Annotated[dict[str, _Model], Field(min_length=1)]


def read_study(path: Path) -> tuple[Study, list[Path] | None]:
    """Return the study in a file, and the folders of its snapshots (None: the newest snapshot).

    Raises:
        MissingInputError: there is no such file.
        UsageError: it is no TOML, or has an unknown key, a wrong type, an unknown model, an invalid setting or search
            space, a baseline that is not among the models, or searches of different budgets.
    """
    text, content = _read(path)
    try:
        file = _File.model_validate(content)
    except ValidationError as error:
        raise UsageError(f"{path}: {_in_words(error, content)}") from None
    models = tuple(_model(path, name, table, file.training) for name, table in file.models.items())
    _require_distinct(path, "seeds", file.seeds)
    _require_distinct(path, "features", file.features)
    _require_distinct(path, "snapshots", file.snapshots or [])
    lists = tuple(_lists(path, name, table, file) for name, table in file.lists.items())
    try:
        require_equal_budgets(models, file.unequal)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    require_devices(file.devices or (), f"{path}: devices")
    settings = file.evaluation.model_dump() | {"n_bootstrap": file.statistics.n_bootstrap}
    settings |= {key: tuple(sorted(set(settings[key]))) for key in ("item_ks", "frame_ks")}
    labels = {name: model.label for name, model in zip(file.models, models, strict=True)}
    study = Study(
        models,
        tuple(file.seeds),
        tuple(file.features),
        lists,
        _folds(file.folds),
        EvaluationConfig(**settings),
        _baseline(path, file.statistics.baseline, labels | {one.label: one.label for one in lists}),
        _metrics(path, file.statistics.metrics or [], file.evaluation.protocol),
        tuple(file.devices or ()),
        file.unequal,
        file=path.name,
        text=text,
    )
    return study, None if file.snapshots is None else [Path(snapshot) for snapshot in file.snapshots]


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
        return text, tomllib.loads(text)
    except OSError as error:
        raise MissingInputError(f"{path}: cannot be read ({error.strerror}); give a study's TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not a TOML file ({error}); model/README.md has an example of a study") from None


def _in_words(error: ValidationError, content: Mapping[str, Any]) -> str:
    """Return the first problem: the key, what is wrong, and what is allowed."""
    problem = error.errors(include_url=False)[0]
    place = [part for part in problem["loc"] if not _is_of_union(part)]
    key = ".".join(map(str, place))
    if problem["type"] == "extra_forbidden":
        tables: dict[str, type[BaseModel]] = {
            "evaluation": _Evaluation, "statistics": _Statistics, "folds": _Folds, "lists": _Lists,
        }  # fmt: skip
        table: type[BaseModel] = tables.get(str(place[0]), _File) if len(place) > 1 else _File
        return f"unknown key {key!r}; choose from {', '.join(table.model_fields)}"
    if problem["type"] == "missing":
        return f"{key} is missing; write {_MISSING.get(str(place[-1]), 'it')}"
    return f"{key}: {problem['msg']}; correct it (model/README.md has an example of a study)"


def _is_of_union(part: int | str) -> bool:
    """Return whether a part of a place names a member of a union, which is no key of the file."""
    return isinstance(part, str) and ("[" in part or part in ("str",))


def _model(path: Path, name: str, table: _Model, training: Mapping[str, Any]) -> StudyModel:
    """Return a model of the file, its settings and search space checked."""
    place = f"{path}: models.{name}"
    try:
        from_config = read_settings(Path(table.config), ()) if table.config else {}
        model_name = table.model or str(from_config.get("model", name))
        default_config(model_name)  # raises an error for an unknown name
    except PipelineError as error:
        hint = f', or write model = "…" below [models.{name}]' if table.model is None and table.config is None else ""
        raise UsageError(f"{place}: {error}{hint}") from None
    if name != model_name and not _NAME.fullmatch(name):
        raise UsageError(f"{place}: a name has up to 64 letters, digits, dots, - and _; write another one")
    from_config.pop("model", None)
    settings = {**training, **from_config, **(table.model_extra or {})}
    own = (*fields(default_config(model_name)), *fields(TrainingConfig))
    if unknown := sorted(settings.keys() - {field.name for field in own}):
        known = ", ".join(sorted(field.name for field in own))
        raise UsageError(
            f"{place}: setting {unknown[0]!r} is unknown; choose from {known}, or from {', '.join(_OWN_KEYS)}"
        )
    label = model_name if name == model_name else f"{model_name} {name}"
    try:
        space = _space(table, model_name)
        model = StudyModel(label, model_name, settings, space, table.trials, table.prune)
        model.configs(settings, strict=True)
    except UsageError as error:
        raise UsageError(f"{place}: {error}") from None
    if twice := sorted({key for keys in space for key in keys.split(",")} & {*from_config, *(table.model_extra or {})}):
        raise UsageError(f"{place}: {twice[0]} has a value and is in try; remove one of the two")
    if table.trials and not space:
        raise UsageError(f"{place}: trials without try; write what to try, for example try = {{ l2 = [0.001, 0.01] }}")
    if table.trials is None and any(not isinstance(kind, CategoricalDistribution) for kind in space.values()):
        raise UsageError(f"{place}: try has a range, so it has no end; write the number of trials, as in trials = 20")
    return model


def _space(table: _Model, model_name: str) -> Mapping[str, Any]:
    if table.tried is None:
        return {}
    if isinstance(table.tried, str):
        if table.tried != "default":
            raise UsageError(f'try = {table.tried!r}; write a table, or "default" for the model\'s usual values')
        return read_space((), model_name)
    if not table.tried:
        raise UsageError("try is empty; write what to try, for example try = { l2 = [0.001, 0.01] }, or remove it")
    return make_space(table.tried, model_name)


def _folds(table: _Folds | None) -> tuple[Fold, ...]:
    return tuple(Fold(number, table.k, table.seed) for number in range(1, table.k + 1)) if table else ()


def _lists(path: Path, name: str, table: _Lists, file: _File) -> StudyLists:
    """Return the lists of another tool in the file, whose name and number of files are checked."""
    place = f"{path}: lists.{name}"
    if not _NAME.fullmatch(name) or name in MODEL_NAMES or name in file.models:
        why = (
            "is the name of a model" if _NAME.fullmatch(name) else "a name has up to 64 letters, digits, dots, - and _"
        )
        raise UsageError(f"{place}: {why}; write another name")
    if len(table.files) not in (1, len(file.seeds)):
        raise UsageError(
            f"{place}: has {len(table.files)} files for {len(file.seeds)} seeds; give one for each, or one"
        )
    _require_distinct(path, f"lists.{name}.files", table.files)
    for one in table.files:
        if FOLD in one and file.folds is None:
            raise UsageError(f"{place}: {one!r} has {FOLD}, and the study no [folds]; add k = 5 below [folds]")
        if FOLD not in one and file.folds is not None:
            raise UsageError(f"{place}: {one!r} is one file for all folds; write {FOLD} for the number of a fold")
    columns = table.model_dump(exclude={"files"})
    return StudyLists(name, tuple(table.files), ListColumns(**columns))


def _baseline(path: Path, name: str | None, models: Mapping[str, str]) -> str | None:
    if name is None:
        return None
    if name not in models:
        raise UsageError(
            f"{path}: statistics.baseline {name!r} is not among the models; choose one of {', '.join(models)}, "
            f"or add [models.{name}]"
        )
    if len(models) == 1:
        raise UsageError(f"{path}: statistics.baseline {name!r} is the only model; add another one to compare it with")
    return models[name]


def _metrics(path: Path, names: list[str], protocol: Protocol) -> tuple[str, ...]:
    known = [
        name
        for name in _METRICS
        if (protocol == "sampled" or not name.startswith("sampled_"))
        and (protocol != "full" or name.startswith("full_") or name in PAPER_METRICS)
    ]
    for name in names:
        if name not in known:
            raise UsageError(f"{path}: statistics.metrics {name!r} is unknown; choose from {', '.join(known)}")
    return tuple(dict.fromkeys(names))


def _require_distinct(path: Path, key: str, values: list[Any]) -> None:
    twice = [value for place, value in enumerate(values) if value in values[:place]]
    if twice:
        raise UsageError(f"{path}: {key} has {twice[0]!r} twice; remove one of them")
