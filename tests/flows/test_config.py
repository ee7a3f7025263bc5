"""One frozen config per flow: the form in Prefect, a TOML file and the crawler's options are made from it."""

from pathlib import Path

import pytest

from dataset.errors import UsageError
from flows.build_dataset import build_dataset
from flows.children import options_from
from flows.parameters.config import BuildConfig, ExtractFeaturesConfig, PublishConfig, RunExperimentConfig
from flows.parameters.form import descriptions
from flows.serving.deployments import DEPLOYMENTS

PUBLIC = {
    "source": "sandbox",
    "name": "sandbox",
    "data": "data",
    "contact": None,
    "site_urls": None,
    "via": None,
    "delay_s": 0.0,
    "refresh": False,
    "movies": None,
    "movies_file": None,
    "users": None,
    "users_file": None,
    "max_users": None,
    "max_movies": None,
    "photo_kinds": ["still", "poster"],
    "allow_missing": 0.0,
    "k": 5,
    "split": "stable",
    "seed": 0,
    "drop_placeholders": False,
    "extractor": "vgg19",
    "weights": "auto",
    "precision": "auto",
    "runner": "local",
    "exchange": None,
    "feature_set": None,
    "root": None,
    "licence": None,
    "publisher": None,
    "description": None,
    "answers": None,
    "dates": None,
    "max_loss": 0.05,
    "release": None,
    "sandbox_seed": 0,
    "sandbox_users": 300,
    "sandbox_movies": 120,
    "sandbox_port": 8801,
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


def test_the_crawler_gets_its_options_from_the_config() -> None:
    site = {"source": "douban", "contact": "a@example.org", "movies": ("1", "2"), "delay_s": 7.5}
    assert options_from(**BuildConfig(**site).crawl_options) == [
        "--site=douban",
        "--contact=a@example.org",
        "--movies=1,2",
        "--photo-kinds=still,poster",
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


def test_a_scope_in_the_parameters_is_the_crawlers() -> None:
    scope = {"movies_file": Path("m.txt"), "max_users": 5, "max_movies": 7, "photo_kinds": ("poster",)}
    options = options_from(**BuildConfig(**scope).crawl_options)  # type: ignore[arg-type]
    assert {"--movies-file=m.txt", "--max-users=5", "--max-movies=7", "--photo-kinds=poster"} < {*options}


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
