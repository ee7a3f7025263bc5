"""Encoders of texts: libraries, models in a folder, and what they refuse."""

import hashlib
import json
import logging
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from made_texts import TABLE, state_of, vectors_of
from vector_files import write_safetensors

from dataset.description import read_proven
from dataset.errors import (
    MissingExtraError,
    WeightsError,
)
from features.__main__ import main
from features.texts.config import TextConfig
from features.texts.encoding import encode_texts


@pytest.mark.parametrize(
    ("library", "extra"), [("wordllama", "text"), ("sentence_transformers", "sentence-transformers")]
)
def test_a_missing_library_of_an_encoder_is_one_line_that_names_its_extra(
    described: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str, extra: str
) -> None:
    monkeypatch.setattr("dataset.extras.find_spec", lambda name: None)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "modules.json").write_text('[{"type": "sentence_transformers.models.Transformer"}]')
    encoder = "wordllama" if library == "wordllama" else str(tmp_path / "model")
    with pytest.raises(MissingExtraError, match=rf"needs {library}: install the extra '{extra}'"):
        encode_texts(described, TextConfig(encoder=encoder))


@pytest.mark.parametrize(
    ("modules", "words"),
    [
        ("{", "cannot be read"),
        ('[{"name": "0"}]', "cannot be read"),
        (
            '[{"type": "sentence_transformers.models.Transformer"}, {"type": "own.Code"}]',
            "'own.Code' is code that comes",
        ),
        ('[{"type": "os.system"}]', "which is not run"),
    ],
)
def test_a_model_that_brings_code_of_its_own_is_refused(described: Path, tmp_path: Path, modules, words) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "modules.json").write_text(modules)
    with pytest.raises(WeightsError, match=words):
        encode_texts(described, TextConfig(encoder=str(tmp_path / "model")))


def test_wordllama_encodes_with_the_weights_of_its_package_and_prints_nothing(
    described: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    wordllama = pytest.importorskip("wordllama")
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    main(["text", "--dataset", str(described)])
    assert (root.level, list(root.handlers)) == before
    told = capfd.readouterr()
    assert "Encoded the texts of 6 of 8 items" in told.out
    assert told.err == ""
    identity = read_proven(described)["item_features"]["text"]
    weights = Path(wordllama.__file__).parent / "weights" / "l2_supercat_256.safetensors"
    assert identity["model_sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert (identity["encoder"], identity["width"], identity["dtype"]) == ("wordllama", 256, "float32")
    first = state_of(described)[TABLE]
    encode_texts(described, TextConfig())
    assert state_of(described)[TABLE] == first


def test_texts_of_one_subject_are_nearer_to_each_other_with_wordllama(described: Path, tmp_path: Path) -> None:
    pytest.importorskip("wordllama")
    texts = {"m0": "a war film about soldiers", "m1": "an army in battle", "m2": "a comedy about a wedding cake"}
    pl.DataFrame({"item_id": list(texts), "plot": list(texts.values())}).write_csv(tmp_path / "t.csv")
    encode_texts(described, TextConfig(columns=("plot",), texts=tmp_path / "t.csv"))
    war, army, cake = (np.array(vectors_of(described)[item]) for item in texts)
    near, far = (war @ other / np.linalg.norm(war) / np.linalg.norm(other) for other in (army, cake))
    assert near > far + 0.1


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """A tiny model of vectors of words, in the files that model2vec and sentence-transformers write."""
    pytest.importorskip("sentence_transformers")
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    folder = tmp_path / "tiny model"
    folder.mkdir()
    words = {word: number for number, word in enumerate(["[UNK]", "Movie", "m0", "m1", "Drama", "War"])}
    tokenizer = Tokenizer(WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    weights = np.random.default_rng(0).standard_normal((len(words), 16)).astype("<f4")
    write_safetensors(folder / "model.safetensors", {"embedding.weight": ("F32", [len(words), 16], weights.tobytes())})
    modules = [{"idx": 0, "name": "0", "path": ".", "type": "sentence_transformers.models.StaticEmbedding"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    return folder


def test_a_model_in_a_folder_encodes_without_the_network(
    described: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("a connection"))
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: pytest.fail("a name was looked up"))
    done = encode_texts(described, TextConfig(encoder=str(model_folder)))
    assert (done.identity.encoder, done.identity.model, done.identity.width) == (
        "sentence-transformers",
        "tiny model",
        16,
    )
    (model_folder / ".cache").mkdir()
    (model_folder / ".cache" / "download.lock").write_text("now")  # as a download leaves it
    assert encode_texts(described, TextConfig(encoder=str(model_folder))).identity == done.identity
    (model_folder / "more.txt").write_text("x")
    assert encode_texts(described, TextConfig(encoder=str(model_folder))).identity.model_sha256 != (
        done.identity.model_sha256
    )


def test_a_damaged_model_in_a_folder_ends_in_one_line(described: Path, model_folder: Path) -> None:
    for file in model_folder.rglob("*.safetensors"):
        file.write_bytes(b"no weights")
    with pytest.raises(WeightsError, match="cannot be loaded as a sentence-transformers model"):
        encode_texts(described, TextConfig(encoder=str(model_folder)))


@pytest.mark.parametrize("write", [pickle.dump, torch.save], ids=["pickle", "torch"])
def test_weights_in_a_folder_run_no_code(described: Path, model_folder: Path, tmp_path: Path, write: Callable) -> None:
    class Code:
        def __reduce__(self) -> tuple:
            return Path.touch, (tmp_path / "ran",)

    (model_folder / "model.safetensors").unlink()
    with (model_folder / "pytorch_model.bin").open("wb") as file:
        write(Code(), file)
    with pytest.raises(WeightsError, match="cannot be loaded"):
        encode_texts(described, TextConfig(encoder=str(model_folder)))
    assert not (tmp_path / "ran").exists()
