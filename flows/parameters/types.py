"""The types of the flows' parameters: their bounds, and descriptions that come from a stage's own config."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from pydantic import AfterValidator, BeforeValidator, Field

from dataset.dates import Dates
from dataset.snapshots.publication import GateConfig, PublicationConfig
from dataset.storage import remote_address
from features.config import ExtractorConfig
from flows.parameters.form import attributes_of

_RUNNER = r"^(local|dask(:.+)?)$"

SnapshotName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
SandboxSize = Annotated[int, Field(ge=10)]


def _without_login(root: Any) -> Any:
    """Return a path or address as a text, unless it has a login, which Prefect's database and page would show."""
    if re.search(r"^[a-z0-9+]+:/.*[@?#]", str(root), re.IGNORECASE):
        raise ValueError("Input should be s3://bucket/prefix without a login; credentials belong in the environment")
    return str(root) if isinstance(root, Path) else root


def _named_runner(name: Any) -> Any:
    """Return the name of a runner."""
    if not re.fullmatch(_RUNNER, str(name)):
        raise ValueError("Input should be local, dask or dask:<address>")
    return name


def _in_object_store(address: str) -> str:
    """Return an address, unless it is a path: workers may not see the same folders."""
    if remote_address(address) is None:
        raise ValueError("Input should be an address in an object store, such as s3://bucket/exchange")
    return address


_of_extractor = attributes_of(ExtractorConfig)
Extractor = Annotated[str, Parameter(help=_of_extractor["name"])]
Weights = Annotated[str, Parameter(help=_of_extractor["weights"])]
Precision = Annotated[Literal["auto", "fp32", "bf16"], Parameter(help=_of_extractor["precision"])]
Decoding = Annotated[Literal["auto", "fast", "full", "gpu"], Parameter(help=_of_extractor["decoding"])]

_of_publication = attributes_of(PublicationConfig)
Licence = Annotated[str | None, Parameter(help=_of_publication["licence"])]
Publisher = Annotated[str | None, Parameter(help=_of_publication["publisher"])]
Contact = Annotated[str | None, Parameter(help=_of_publication["contact"])]
Description = Annotated[str | None, Parameter(help=_of_publication["description"])]
TrainLikes = Annotated[bool, Parameter(help=_of_publication["train_likes"])]
Answers = Annotated[Path | None, Parameter(help=_of_publication["answers"])]
PublishedDates = Annotated[Dates | None, Parameter(help=_of_publication["dates"])]
Root = Annotated[str, BeforeValidator(_without_login)]
Exchange = Annotated[str, BeforeValidator(_without_login), AfterValidator(_in_object_store)]
Runner = Annotated[str, Field(pattern=_RUNNER), BeforeValidator(_named_runner)]

_of_gate = attributes_of(GateConfig)
MaxLoss = Annotated[float, Field(ge=0, le=1), Parameter(help=_of_gate["max_loss"])]
Release = Annotated[str | None, Field(pattern="^[0-9a-f]{12,64}$"), Parameter(help=_of_gate["release"])]
