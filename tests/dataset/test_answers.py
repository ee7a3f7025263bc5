"""A publisher's file of answers fills fields of the responsible-AI extension, in croissant.json and on the card."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlcroissant
import pytest

from dataset.__main__ import app
from dataset.building.build import DatasetConfig, build
from dataset.errors import MissingInputError, UsageError
from dataset.files import write_json
from dataset.snapshots.publication import ANSWERABLE, PublicationConfig, read_answers
from dataset.snapshots.publish import publish
from dataset.snapshots.responsible_ai import unanswered


@pytest.fixture
def imported(make_raw: Callable[..., Path], tmp_path: Path) -> Path:
    """A dataset from a file of the publisher's own: of whom it holds is not recorded."""
    raw = make_raw()
    write_json(raw / "provenance.json", {"source": "import", "file": "a.csv"})
    return build(raw, tmp_path / "dataset", DatasetConfig()).path


def written(tmp_path: Path, text: str) -> Path:
    (tmp_path / "answers.toml").write_text(text, encoding="utf-8")
    return tmp_path / "answers.toml"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the RDF library below mlcroissant
def test_answers_are_on_the_card_and_in_croissant_json_which_stays_valid(imported: Path, tmp_path: Path) -> None:
    answers = written(
        tmp_path,
        """
        "rai:dataBiases" = "Students of one university.\\n  Most are men."
        dataLimitations = "No films before 1980."
        dataCollectionType = ["Surveys", "Others"]
        annotatorDemographics = "Aged 18 to 25."
        dataAnnotationPlatform = "A web page | our own."
        dataUseCases = ""
        """,
    )
    snapshot, is_new = publish(imported, "toy", tmp_path / "s", PublicationConfig(answers=answers))
    assert is_new
    told = json.loads((snapshot.path / "croissant.json").read_text("utf-8"))
    card = (snapshot.path / "README.md").read_text("utf-8")
    assert told["rai:dataBiases"] == "Students of one university. Most are men."
    assert told["rai:dataLimitations"].endswith("among all movies. No films before 1980.")
    assert told["rai:dataCollectionType"] == ["Secondary Data analysis", "Surveys", "Others"]
    assert told["rai:annotatorDemographics"] == ["Aged 18 to 25."]
    assert told["rai:dataUseCases"].startswith("Research on recommendation")
    for line in (
        "**Whom and what does it favour?** Students of one university. Most are men.",
        "among all movies. No films before 1980.",
        "### Further answers of the publisher",
        "**In what way were the data collected?** Surveys; Others",
        "**On what platform did they judge?** A web page | our own.",
    ):
        assert line in card
    assert unanswered(snapshot.manifest) == []
    described = mlcroissant.Dataset(jsonld=snapshot.path / "croissant.json").metadata
    assert (described.ctx.issues.errors, described.ctx.issues.warnings) == (set(), set())
    assert described.data_biases == ["Students of one university. Most are men."]


def test_new_answers_are_a_new_version_and_none_say_nothing_new(imported: Path, tmp_path: Path) -> None:
    versions = []
    for text in ("", 'dataBiases = "A."', 'dataBiases = "A."', None, 'dataBiases = "B."'):
        config = PublicationConfig(answers=None if text is None else written(tmp_path, text))
        versions.append(publish(imported, "toy", tmp_path / "s", config)[0].version)
    assert versions == [1, 2, 2, 2, 3]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dataBias = 'x'", "no field 'dataBias' can be answered; there are dataCollection, "),
        ("dataBiases = 1", 'dataBiases: write a text, such as dataBiases = "…"'),
        ("dataBiases = ['a']", "dataBiases: write a text, such as"),
        ("dataCollectionType = [1]", "dataCollectionType: write a text, or a list of texts, such as"),
        ("[dataBiases]\nx = 1", "dataBiases: write a text"),
        ("dataBiases", "not a TOML file"),
        ("dataBiases = 'a'\ndataBiases = 'b'", "not a TOML file"),
    ],
)
def test_a_wrong_file_of_answers_is_one_line(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"answers\.toml: ") as raised:
        read_answers(written(tmp_path, text))
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_of_answers_that_is_missing_or_no_text_is_one_line(
    imported: Path, tmp_path: Path, run_command: Callable[..., Any]
) -> None:
    with pytest.raises(MissingInputError, match=r"none\.toml: cannot be read"):
        PublicationConfig(answers=tmp_path / "none.toml")
    (tmp_path / "answers.toml").write_bytes(b"\xff\xfe")
    line = ("publish", "--dataset", imported, "--name", "toy", "--root", tmp_path / "s", "--answers")
    done = run_command(app, *line, tmp_path / "answers.toml")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    done = run_command(app, *line, tmp_path / "none.toml")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert not (tmp_path / "s").exists()


def test_a_publisher_is_told_how_to_answer_and_can_answer_every_field(
    imported: Path, tmp_path: Path, run_command: Callable[..., Any]
) -> None:
    line = ("publish", "--dataset", imported, "--name", "toy", "--root", tmp_path / "s")
    done = run_command(app, *line)
    assert "croissant.json leaves out rai:dataBiases: only you know the answer; state it with --answers" in done.stdout
    answers = written(tmp_path, "".join(f'{name} = "My {name}."\n' for name in ANSWERABLE))
    assert "leaves out" not in run_command(app, *line, "--answers", answers).stdout
    folder = tmp_path / "s" / "toy" / "v0002"
    told = json.loads((folder / "croissant.json").read_text("utf-8"))
    card = (folder / "README.md").read_text("utf-8")
    for name in ANSWERABLE:
        assert f"My {name}." in told[f"rai:{name}"] or told[f"rai:{name}"][-1].endswith(f"My {name}.")
        assert f"My {name}." in card
