"""Sentence encoders: one whose weights come with its package, and models in a folder. Nothing is downloaded."""

import io
import json
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from dataset.errors import MissingInputError, WeightsError, describe_load_error
from dataset.extras import require_library
from dataset.files import sha256_of_file
from features.texts.config import WORDLLAMA
from features.vectors.folder import one_line, sha256_of_folder

_MODULES = "modules.json"
_OWN_MODULES = "sentence_transformers."


class Encoder(Protocol):
    """A sentence encoder.

    Attributes:
        package: the library that runs it.
        package_version: its version.
        model: the name of the model, without a local path.
        model_sha256: the SHA-256 of its file or folder.
    """

    package: str
    package_version: str
    model: str
    model_sha256: str

    def encode(self, texts: list[str]) -> npt.NDArray[np.float32]:
        """Return one vector per text, (n, width) float32."""

    def n_cut(self, texts: list[str]) -> int:
        """Return how many texts are longer than the encoder reads."""


def open_encoder(name: str) -> Encoder:
    """Return an encoder by its name or folder.

    Raises:
        MissingExtraError: its library is not installed.
        MissingInputError: there is no such encoder.
        WeightsError: it cannot be loaded.
    """
    if name == WORDLLAMA:
        return _WordLlama()
    return _SentenceTransformer(Path(name))


class _WordLlama:
    """WordLlama's 256-dimensional model: the mean of its tokens' vectors, which come with the package.

    Source: https://github.com/dleemiller/WordLlama.
    """

    package = WORDLLAMA
    model = "l2_supercat_256"

    def __init__(self) -> None:
        require_library(WORDLLAMA, f"--encoder {WORDLLAMA}")
        with _quiet_logging():
            import wordllama

        self.package_version = version(WORDLLAMA)
        package = Path(wordllama.__file__).parent
        try:
            self.model_sha256 = sha256_of_file(package / "weights" / f"{self.model}.safetensors")
            # Version 0.4 finds its own tokenizer only if the package's folder is given as the folder of downloads.
            self._encoder = wordllama.WordLlama.load(cache_dir=package, disable_download=True)
        except (OSError, ValueError, AttributeError) as error:
            raise WeightsError(
                f"wordllama {self.package_version}: its weights cannot be read ({describe_load_error(error)}); install "
                "it again"
            ) from None

    def encode(self, texts: list[str]) -> npt.NDArray[np.float32]:
        """Return one vector per text, (n, 256) float32."""
        vectors: npt.NDArray[np.float32] = self._encoder.embed(texts)
        return vectors

    def n_cut(self, texts: list[str]) -> int:
        """Return 0: it reads texts of any length."""
        return 0


class _SentenceTransformer:
    """A model that sentence-transformers (or model2vec) has saved in a folder.

    Source: https://sbert.net, "Save and load".
    """

    package = "sentence-transformers"

    def __init__(self, folder: Path) -> None:
        _require_own_modules(folder)
        require_library("sentence_transformers", "an encoder in a folder")
        with _quiet_logging():
            from sentence_transformers import SentenceTransformer

        self.package_version = version(self.package)
        self.model = one_line(folder.resolve().name)
        self.model_sha256 = sha256_of_folder(folder, with_hidden=False)
        try:
            with redirect_stderr(io.StringIO()):  # it shows bars, also in a log
                self._encoder: Any = SentenceTransformer(str(folder), local_files_only=True, trust_remote_code=False)
        except Exception as error:  # the library raises many kinds of errors
            raise WeightsError(
                f"{folder}: cannot be loaded as a sentence-transformers model ({describe_load_error(error)}); download "
                "or save it again"
            ) from None

    def encode(self, texts: list[str]) -> npt.NDArray[np.float32]:
        """Return one vector per text, (n, width) float32."""
        vectors = self._encoder.encode(texts, convert_to_numpy=True, show_progress_bar=False)
        return np.asarray(vectors, np.float32)

    def n_cut(self, texts: list[str]) -> int:
        """Return how many texts have more tokens than the model reads."""
        longest, tokenizer = self._encoder.max_seq_length, self._encoder.tokenizer
        if longest is None or math.isinf(longest) or not callable(tokenizer):
            return 0
        return sum(len(tokens) > longest for tokens in tokenizer(texts, truncation=False, verbose=False)["input_ids"])


def _require_own_modules(folder: Path) -> None:
    """Check that a folder holds a model, and that none of its modules is code from the folder.

    Raises:
        MissingInputError: it holds no model.
        WeightsError: loading it would run code from the folder.
    """
    download = "download one with `hf download <owner>/<model> --local-dir <folder>`"
    if not (folder / _MODULES).is_file():
        raise MissingInputError(
            f"{folder}: no sentence-transformers model there (no {_MODULES}); --encoder takes {WORDLLAMA}, or the "
            f"folder of a model: {download}"
        )
    try:
        modules = [str(one["type"]) for one in json.loads((folder / _MODULES).read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError, KeyError):
        raise WeightsError(f"{folder / _MODULES}: cannot be read; {download}") from None
    foreign = [one for one in modules if not one.startswith(_OWN_MODULES)]
    if foreign:
        raise WeightsError(
            f"{folder}: its module {foreign[0]!r} is code that comes with the model, which is not run; choose a model "
            "without code of its own"
        )


@contextmanager
def _quiet_logging() -> Iterator[None]:
    """Undo what a library's import does to the root logger (wordllama makes it print everything)."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
