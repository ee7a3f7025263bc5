"""The settings file of a lab: parameters of `build-dataset` and its schedule, checked before anything starts."""

from pathlib import Path

import pytest

from dataset.errors import MissingInputError, UsageError
from flows.parameters.config import BuildConfig
from flows.serve import main as serve
from flows.serving.deployments import DEPLOYMENTS, deployment_from
from flows.serving.settings import read_settings, read_toml

LAB = """
source = "douban"
contact = "you@example.org"
movies = ["1292052"]
users_file = "data/lab/users.txt"
max_users = 500
photo_kinds = ["still"]
root = "s3://bucket/datasets"
licence = "CC-BY-4.0"
publisher = "Lab of Examples"
description = "What people of our city watch."
schedule = "0 3 * * 1"
timezone = "Europe/Berlin"
"""


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    return tmp_path / "lab.toml"


def test_a_settings_file_is_a_deployment_with_its_parameters_and_its_schedule(lab: Path) -> None:
    lab.write_text(LAB)
    settings = read_settings(lab)
    deployment = deployment_from(lab, settings)
    assert (deployment.label, deployment.description) == ("build-dataset/lab", "What people of our city watch.")
    assert deployment.parameters == {
        "source": "douban",
        "name": "lab",
        "contact": "you@example.org",
        "movies": ["1292052"],
        "users_file": "data/lab/users.txt",
        "max_users": 500,
        "photo_kinds": ["still"],
        "root": "s3://bucket/datasets",
        "licence": "CC-BY-4.0",
        "publisher": "Lab of Examples",
        "description": "What people of our city watch.",
    }
    schedule = deployment.new_schedule
    assert schedule is not None
    assert (schedule.schedule.cron, schedule.schedule.timezone, schedule.active) == ("0 3 * * 1", "Europe/Berlin", True)  # type: ignore[union-attr]
    config = BuildConfig(**deployment.parameters)
    assert (config.snapshots, config.publication.contact) == ("s3://bucket/datasets", "you@example.org")


def test_the_contact_is_on_the_card_only_beside_the_publisher() -> None:
    site = {"source": "douban", "movies": ("1",), "contact": "you@example.org"}
    assert BuildConfig(**site).publication.contact is None  # type: ignore[arg-type]
    assert BuildConfig(**site, publisher="A lab").publication.contact == "you@example.org"  # type: ignore[arg-type]


def test_without_a_schedule_a_data_set_is_built_when_somebody_starts_it(lab: Path) -> None:
    lab.write_text('source = "import"\nname = "small"\n')
    deployment = deployment_from(lab, read_settings(lab))
    assert (deployment.new_schedule, deployment.parameters) == (None, {"source": "import", "name": "small"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense = 1", "nonsense: Unexpected keyword argument"),
        ('source = "import"\nextractor = "mobilnet_v3_small"', ".*mobilenet_v3_small"),
        ('source = "import"\nweights = "missing.pth"', "weights 'missing.pth' is not a file"),
        ("k = -1", "k: Input should be greater than or equal to 0"),
        ("k = ", "not a TOML file"),
        ('movies = "1292052"', "movies: Input should be a valid tuple"),
        ('source = "douban"', "source douban needs a contact"),
        ('photo_kinds = ["selfie"]', "photo_kinds.0: Input should be 'still', 'poster' or 'wallpaper'"),
        ('licence = "  "', "licence: "),
        ('publisher = "A"\ncontact = "me"', "contact: .*e-mail or web address"),
        ('root = "s3://key:word@bucket/x"', "root: .*credentials belong in the environment"),
        ('root = "s3://bucket/x?word=1"', "root: .*credentials belong in the environment"),
        ('schedule = "each Monday"', "schedule: 'each Monday' is none; give one such as"),
        ('schedule = "0 3 * *"', "schedule: "),
        ('schedule = "0 0 30 2 *"', "schedule: '0 0 30 2 .*never comes"),
        ('schedule = "0 3 * * 1"\ntimezone = "Berlin"', "timezone: 'Berlin' is none; give one such as Europe/Berlin"),
        ("schedule = 7", "schedule: Input should be a valid string"),
        ('users = ["12345"]', "users: Prefect's database would keep the ids of people"),
        *(
            (f'{key} = "hunter2"', f"{key}: secrets do not belong in this file")
            for key in (
                "aws_secret_access_key",
                "AWS_ACCESS_KEY_ID",
                "password",
                "api-key",
                "hf_token",
                "PREFECT_API_AUTH_STRING",
                "credentials",
            )
        ),
        ('[s3]\npassword = "hunter2"', "s3.password: secrets do not belong in this file"),
    ],
)
def test_a_wrong_setting_is_one_line_with_file_and_key_before_anything_starts(
    text: str, message: str, lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(lab.parent)
    lab.write_text(text)
    with pytest.raises(UsageError, match=rf"^lab\.toml: {message}") as refused:
        serve(["--settings", "lab.toml"])
    assert "\n" not in str(refused.value)
    assert not any(value in str(refused.value) for value in ("hunter2", "12345", "key:word"))
    assert [path.name for path in lab.parent.iterdir()] == ["lab.toml"]


def test_a_wrong_file_of_answers_is_refused_before_a_crawl(lab: Path, tmp_path: Path) -> None:
    answers = tmp_path / "answers.toml"
    lab.write_text(f'source = "import"\nanswers = "{answers}"\n')
    with pytest.raises(MissingInputError, match=r"answers\.toml: cannot be read"):
        read_settings(lab)
    answers.write_text("dataBias = 'x'")
    with pytest.raises(UsageError, match="no field 'dataBias' can be answered"):
        read_settings(lab)
    answers.write_text("dataBiases = 'x'")
    assert read_settings(lab).publication.answers == answers


def test_a_missing_settings_file_is_named(lab: Path) -> None:
    with pytest.raises(MissingInputError, match=r"lab\.toml: cannot be read"):
        read_settings(lab)


def test_a_file_does_not_replace_a_deployment_of_the_project(tmp_path: Path) -> None:
    file = tmp_path / "sandbox.toml"
    file.write_text('name = "other"\n')
    with pytest.raises(UsageError, match=r"sandbox\.toml: there is a deployment build-dataset/sandbox already; rename"):
        deployment_from(file, read_settings(file))


def test_a_config_is_read_from_a_toml_file(lab: Path) -> None:
    lab.write_text('source = "douban"\nname = "lab"\ncontact = "a@example.org"\nmovies = ["1", "2"]\nk = 3\n')
    config = read_toml(BuildConfig, lab)
    assert config == BuildConfig(source="douban", name="lab", contact="a@example.org", movies=("1", "2"), k=3)
    assert config.dataset_config.k_user == config.dataset_config.k_item == 3


def test_no_schedule_of_ours_needs_what_its_deployment_lacks() -> None:
    for deployment in DEPLOYMENTS:
        if deployment.schedule is not None:
            deployment.config(**deployment.parameters)  # a scheduled run would fail each week
