"""Checks that no dependency is missing, and that no folder of the user's hides one of our packages.

`pip install douban-keyframes` brings what `dataset` needs; each other package needs an extra. The `__init__` of a
package calls `require_core` or `require_extra`. If something is missing, one line names it, instead of a traceback
from deep inside an import.
"""

import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from dataset.errors import MissingExtraError, PipelineError, ShadowedPackageError

# The libraries that `dataset` imports (a test compares them).
CORE = (
    "PIL",
    "altair",
    "clevercsv",
    "cyclopts",
    "dataframely",
    "jinja2",
    "markupsafe",
    "numpy",
    "obstore",
    "packaging",
    "polars",
    "pyarrow",
    "pydantic",
    "rich",
    "vl_convert",
)
# For each other package: its extra, and the libraries that it imports and `dataset` does not (a test compares them).
EXTRAS = {
    "crawler": ("crawl", ("lxml", "parsel", "protego", "scrapy", "twisted", "warcio")),
    "features": ("train", ("torch", "torchvision")),
    "model": ("train", ("loky", "optuna", "scipy", "torch")),
    "flows": ("flows", ("dask", "distributed", "prefect", "requests", "torch", "uvicorn")),
}


def require_core() -> None:
    """Check that the libraries of a plain install are there.

    Raises:
        MissingExtraError: one is missing. Under `python -m`, the process ends with that line instead.

    """
    _require("dataset", CORE, "it with pip install douban-keyframes")


# The libraries that single features of a package need beyond that, and the extra of each.
LIBRARIES = {
    "av": "video",
    "httpx": "hub",
    "huggingface_hub": "hub",
    "mlflow": "mlflow",
    "open_clip": "open_clip",
    "safetensors": "timm",
    "sentence_transformers": "sentence-transformers",
    "tensorboard": "tensorboard",
    "timm": "timm",
    "wandb": "wandb",
    "wordllama": "text",
}


def require_library(library: str, feature: str) -> None:
    """Check that a library of `LIBRARIES` is installed.

    Raises:
        MissingExtraError: it is missing.

    """
    if find_spec(library) is None:
        extra = LIBRARIES[library]
        raise MissingExtraError(
            f"{feature} needs {library}: install the extra {extra!r} with pip install 'douban-keyframes[{extra}]'"
        )


def require_extra(package: str) -> None:
    """Check that the libraries of a package's extra are installed.

    Raises:
        MissingExtraError: one is missing. Under `python -m`, the process ends with that line instead.

    """
    extra, libraries = EXTRAS[package]
    _require(package, libraries, f"the extra {extra!r} with pip install 'douban-keyframes[{extra}]'")


def _require(package: str, libraries: Iterable[str], remedy: str) -> None:
    if missing := [library for library in libraries if find_spec(library) is None]:
        _refuse(MissingExtraError(f"{package} needs {', '.join(missing)}: install {remedy}"))


def refuse_shadowed_packages() -> None:
    """Check that Python finds all our packages in one folder.

    Raises:
        ShadowedPackageError: a package of the user's with the same name, such as `model`, comes first on
            Python's path. Under `python -m`, the process ends with that line instead.

    """
    home = Path(__file__).resolve().parents[1]
    for package in ("dataset", *EXTRAS):
        spec = find_spec(package)
        found = Path(spec.origin).resolve() if spec and spec.origin else None
        if found != home / package / "__init__.py":
            _refuse(
                ShadowedPackageError(
                    f"{found or package} hides the package {package!r} of douban-keyframes ({home / package}): "
                    "rename yours, or run Python in another folder"
                )
            )


def _refuse(error: PipelineError) -> None:
    # Python sets this name while it imports the packages above the module that `-m` names.
    if sys.argv[:1] == ["-m"]:
        sys.exit(str(error))
    raise error
