"""One frozen config per flow: the form in Prefect, a TOML file and the crawler's options are made from it."""

from pathlib import Path

import pytest

from dataset.errors import MissingInputError, UsageError
from flows.build_dataset import build_dataset
from flows.children import options_from
from flows.config import BuildConfig, ExtractFeaturesConfig, PublishConfig, RunExperimentConfig, descriptions, read_toml
from flows.deployments import DEPLOYMENTS, deployment_from

PUBLIC = {
    "source": "sandbox",
    "name": "sandbox",
    "data": "data",
    "contact": None,
    "movies": None,
    "users": None,
    "users_file": None,
    "refresh": False,
    "site_urls": None,
    "via": None,
    "delay_s": 0.0,
    "extractor": "vgg19",
    "weights": "auto",
    "precision": "auto",
    "runner": "local",
    "feature_set": None,
    "k": 5,
    "seed": 0,
    "drop_placeholders": False,
    "sandbox_seed": 0,
    "sandbox_users": 300,
    "sandbox_movies": 120,
    "sandbox_port": 8801,
    "dates": None,
    "split": "stable",
    "allow_missing": 0.0,
    "max_loss": 0.05,
    "release": None,
}


def test_the_form_has_every_parameter_with_its_default_and_description() -> None:
    properties = build_dataset.parameters.properties
    assert {name: form["default"] for name, form in properties.items()} == PUBLIC
    assert [form["position"] for form in properties.values()] == list(range(len(PUBLIC)))
    for deployment in DEPLOYMENTS:
        assert all(form["description"] for form in deployment.flow.parameters.properties.values())


@pytest.mark.parametrize("config", [BuildConfig, ExtractFeaturesConfig, PublishConfig, RunExperimentConfig])
def test_every_described_parameter_exists(config: type) -> None:
    assert set(descriptions(config)) == set(config.__dataclass_fields__)  # type: ignore[attr-defined]


def test_a_config_is_read_from_a_toml_file(tmp_path: Path) -> None:
    file = tmp_path / "lab.toml"
    file.write_text('source = "douban"\nname = "lab"\ncontact = "a@example.org"\nmovies = ["1", "2"]\nk = 3\n')
    config = read_toml(BuildConfig, file)
    assert config == BuildConfig(source="douban", name="lab", contact="a@example.org", movies=("1", "2"), k=3)
    assert config.dataset_config.k_user == config.dataset_config.k_item == 3
    assert not config.dataset_config.drop_placeholders
    file.write_text("drop_placeholders = true\n")
    assert read_toml(BuildConfig, file).dataset_config.drop_placeholders


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("k = -1", "lab.toml: k: Input should be greater than or equal to 0"),
        ("nonsense = 1", "lab.toml: nonsense: Unexpected keyword argument"),
        ("k = ", "lab.toml: not a TOML file"),
        ('source = "douban"', "lab.toml: source douban needs a contact"),
    ],
)
def test_a_wrong_toml_file_is_refused_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "lab.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=message) as refused:
        read_toml(BuildConfig, file)
    assert "\n" not in str(refused.value)


def test_a_missing_toml_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"lab\.toml: cannot be read"):
        read_toml(BuildConfig, tmp_path / "lab.toml")


def test_a_file_becomes_a_deployment_that_refreshes_what_is_crawled(tmp_path: Path) -> None:
    file = tmp_path / "lab.toml"
    file.write_text('name = "small"\nsandbox_users = 40\n')
    lab = deployment_from(file, read_toml(BuildConfig, file))
    assert (lab.label, lab.weekly) == ("build-dataset/lab", {"refresh": True})
    assert lab.parameters == {"name": "small", "sandbox_users": 40}
    file.write_text('source = "import"\nname = "small"\n')
    assert deployment_from(file, read_toml(BuildConfig, file)).weekly is None


def test_a_file_does_not_replace_a_deployment_of_the_project(tmp_path: Path) -> None:
    file = tmp_path / "sandbox.toml"
    file.write_text('name = "other"\n')
    with pytest.raises(UsageError, match=r"sandbox\.toml: there is a deployment build-dataset/sandbox already; rename"):
        deployment_from(file, read_toml(BuildConfig, file))


def test_the_crawler_gets_its_options_from_the_config() -> None:
    site = {"source": "douban", "contact": "a@example.org", "movies": ("1", "2"), "delay_s": 7.5}
    assert options_from(**BuildConfig(**site).crawl_options) == [
        "--site=douban",
        "--contact=a@example.org",
        "--movies=1,2",
        "--k=5",
        "--delay-s=7.5",
    ]
    assert "--site-urls=http://a,http://b,http://c" in options_from(
        **BuildConfig(**site, site_urls="http://a,http://b,http://c").crawl_options
    )
    assert options_from(**BuildConfig(name="x").crawl_options)[:2] == ["--site=sandbox", "--site-file=data/x/site.json"]


@pytest.mark.parametrize(
    ("source", "via", "option"),
    [
        ("sandbox", None, "--via=html"),
        ("sandbox", "movie=json,collection=list", "--via=movie=json,collection=list"),
        ("douban", None, None),
        ("douban", "collection=list", "--via=collection=list"),
        ("douban", "auto", "--via=auto"),
    ],
)
def test_the_sources_of_a_crawl_are_those_of_the_config_and_the_sandbox_is_read_as_html(
    source: str, via: str | None, option: str | None
) -> None:
    config = BuildConfig(source=source, contact="a@example.org", movies=("1",), via=via)  # type: ignore[arg-type]
    options = [one for one in options_from(**config.crawl_options) if one.startswith("--via")]
    assert options == ([option] if option else [])


@pytest.mark.parametrize("via", ["xml", "movie=list", "collection=html,collection=list", "film=html"])
def test_a_source_that_does_not_exist_is_refused_when_the_form_is_filled_in(via: str) -> None:
    with pytest.raises(UsageError, match="--via"):
        BuildConfig(via=via)


def test_an_option_that_is_not_set_is_left_out() -> None:
    assert options_from(max_users=5, refresh=True, users=None, everything=False, movies=()) == [
        "--max-users=5",
        "--refresh",
    ]


@pytest.mark.parametrize("config", [BuildConfig, ExtractFeaturesConfig])
@pytest.mark.parametrize("name", ["../x", "", "Clip", "main", "a/b", "x" * 65])
def test_a_flow_refuses_a_name_that_no_further_feature_set_can_have(config: type, name: str) -> None:
    with pytest.raises(UsageError, match="feature set"):
        config(feature_set=name)
