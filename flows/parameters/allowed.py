"""What runs of a deployment may use.

Whoever may start a run chooses its parameters. A run that was started through a deployment (Prefect's form, its API,
`prefect deployment run`, a schedule) uses only the folders, runners, weights, sites and own models that the operator of
`python -m flows.serve` allowed; a model of one's own, `package.module:Class`, is code that would be imported. A flow
that is called on a command line or in Python may use everything.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from dataset.errors import UsageError
from flows.runners import LOCAL
from model.models.names import is_own

VARIABLE = "DOUBAN_KEYFRAMES_ALLOWED"
"""The environment variable through which a served flow's process gets the list, as JSON."""
_PLACES = ("root", "exchange", "snapshot")  # parameters that are a path or an address in an object store
_HARMLESS_WEIGHTS = r"auto|[A-Z0-9_]+|random:\d+"  # the libraries' own, and random ones; a file has a path or a suffix


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Allowed:
    """What runs of a deployment may use.

    Attributes:
        folders: folders that runs may read and write, with everything below them
        roots: addresses in object stores (s3://bucket/prefix) that runs may read and write, with everything below them
        runners: where features may be computed: local, dask, dask:<address>
        weights: files of weights; auto, torchvision's names and random:<seed> are always allowed
        site_urls: base addresses of other sites: movie,www,images, and mobile if it has JSON
        models: models of one's own that runs may import: package.module:Class
    """

    folders: tuple[Path, ...] = (Path("data"),)
    roots: tuple[str, ...] = ()
    runners: tuple[str, ...] = (LOCAL,)
    weights: tuple[str, ...] = ()
    site_urls: tuple[str, ...] = ()
    models: tuple[str, ...] = ()

    def with_values_of(self, configs: Iterable[Any]) -> "Allowed":
        """Return a list that also allows what these configs use."""
        allowed = self
        for config in configs:
            chosen = {one.name: getattr(config, one.name) for one in fields(config)}
            paths = tuple(value for value in chosen.values() if isinstance(value, Path))
            places = tuple(place for name in _PLACES for place in _given(chosen, name))
            allowed = replace(
                allowed,
                folders=allowed.folders + paths + tuple(map(Path, filter(_is_path, places))),
                roots=allowed.roots + tuple(place for place in places if not _is_path(place)),
                runners=allowed.runners + _given(chosen, "runner"),
                weights=allowed.weights + _given(chosen, "weights"),
                site_urls=allowed.site_urls + _given(chosen, "site_urls"),
                models=allowed.models + tuple(name for name in chosen.get("models") or () if is_own(name)),
            )
        return allowed

    def check(self, config: Any) -> None:
        """Check the parameters of a run.

        Raises:
            UsageError: a parameter has a value that is not allowed; the message names it.
        """
        for one in fields(config):
            value = getattr(config, one.name)
            if not self._allows(one.name, value):
                raise UsageError(
                    f"{one.name}={str(value)!r}: runs of a deployment may not use this; the operator can allow it: "
                    "python -m flows.serve --allow allow.toml"
                )

    def to_json(self) -> str:
        """Return the list as JSON, for `VARIABLE`."""
        return TypeAdapter(Allowed).dump_json(self).decode()

    def _allows(self, name: str, value: Any) -> bool:
        if value is None:
            return True
        if isinstance(value, Path):
            return any(_is_below(value, folder) for folder in self.folders)
        if name in _PLACES:
            return self._allows(name, Path(value)) if _is_path(value) else _is_in_store(value, self.roots)
        if name == "weights":
            return bool(re.fullmatch(_HARMLESS_WEIGHTS, value)) or value in self.weights
        if name == "site_urls":
            return _spelled(value) in map(_spelled, self.site_urls)
        if name == "models":
            return all(model in self.models for model in value if is_own(model))
        return name != "runner" or value in self.runners


def check_run(config: Any) -> None:
    """Check the parameters of the current flow run, if it was started through a deployment.

    Raises:
        UsageError: a parameter has a value that is not allowed, or the list of the allowed values cannot be read.
    """
    from prefect.context import FlowRunContext  # here, because Prefect takes seconds to load

    context = FlowRunContext.get()
    if context is None or context.flow_run is None or context.flow_run.deployment_id is None:
        return
    text = os.environ.get(VARIABLE)
    try:
        allowed = TypeAdapter(Allowed).validate_json(text) if text else Allowed()
    except ValidationError as error:
        raise UsageError(f"{VARIABLE} in the environment cannot be read: {error.errors()[0]['msg']}") from None
    allowed.check(config)


def _given(chosen: dict[str, Any], name: str) -> tuple[str, ...]:
    return (chosen[name],) if chosen.get(name) else ()


def _is_below(path: Path, folder: Path) -> bool:
    """Return whether a path leads into a folder, with all links followed."""
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):  # a loop of links, or a zero byte
        return False


def _is_path(root: str) -> bool:
    return re.match(r"[a-z][a-z0-9+.-]*:/", root, re.IGNORECASE) is None


def _is_in_store(root: str, allowed: tuple[str, ...]) -> bool:
    """Return whether an address leads into one of the allowed ones; a name such as `..` or `%2e` never does."""
    parts = root.rstrip("/").split("/")
    is_plain = all(re.fullmatch(r"[\w.=+ -]*[\w=+ -][\w.=+ -]*", part) for part in parts[2:])
    return root in allowed or (
        is_plain and any(parts[: len(one)] == one for one in (text.rstrip("/").split("/") for text in allowed))
    )


def _spelled(site_urls: str) -> str:
    return ",".join(url.strip().rstrip("/") for url in site_urls.split(","))
