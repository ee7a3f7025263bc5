"""The licence, publisher and contact of a snapshot, as Hugging Face, Croissant and people need them; how to cite it."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from dataset.building.build import DatasetConfig, build
from dataset.errors import UsageError
from dataset.snapshots.card import render_card
from dataset.snapshots.citation import cite
from dataset.snapshots.licences import HUB_IDENTIFIERS, LICENCE_FILE, describe_licence, parse_licence
from dataset.snapshots.manifest import from_bytes
from dataset.snapshots.publication import PublicationConfig
from dataset.snapshots.publish import publish
from dataset.snapshots.snapshot import Snapshot, open_snapshot
from dataset.snapshots.verify import verify


@pytest.fixture(scope="module")
def snapshot(raw_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """A snapshot that states nothing."""
    folder = tmp_path_factory.mktemp("licence")
    dataset = build(raw_once, folder / "dataset", DatasetConfig()).path
    return publish(dataset, "toy", folder / "snapshots")[0]


def header_of(card: str) -> dict[str, Any]:
    return dict(yaml.safe_load(card.split("---\n")[1]))


BY = "https://creativecommons.org/licenses/by/4.0/"
LICENCES = [
    ("CC-BY-4.0", "cc-by-4.0", "CC-BY-4.0", BY),
    ("cc-by-4.0", "cc-by-4.0", "CC-BY-4.0", BY),
    ("CC BY 4.0", "cc-by-4.0", "CC-BY-4.0", BY),
    (BY, "cc-by-4.0", "CC-BY-4.0", BY),
    ("http://www.creativecommons.org/licenses/by/4.0/deed.en", "cc-by-4.0", "CC-BY-4.0", BY),
    ("CC-BY-NC-SA-4.0", "cc-by-nc-sa-4.0", "CC-BY-NC-SA-4.0", "https://creativecommons.org/licenses/by-nc-sa/4.0/"),
    ("CC0", "cc0-1.0", "CC0-1.0", "https://creativecommons.org/publicdomain/zero/1.0/"),
    ("cc0-1.0", "cc0-1.0", "CC0-1.0", "https://creativecommons.org/publicdomain/zero/1.0/"),
    ("MIT", "mit", "MIT", "https://spdx.org/licenses/MIT.html"),
    ("The MIT License", "mit", "MIT", "https://spdx.org/licenses/MIT.html"),
    ("https://opensource.org/license/mit", "mit", "MIT", "https://spdx.org/licenses/MIT.html"),
    ("Apache License, Version 2.0", "apache-2.0", "Apache-2.0", "https://spdx.org/licenses/Apache-2.0.html"),
    ("odbl-1.0", "odbl", "ODbL-1.0", "https://spdx.org/licenses/ODbL-1.0.html"),
    ("ODbL", "odbl", "ODbL-1.0", "https://spdx.org/licenses/ODbL-1.0.html"),
    ("ODC-By-1.0", "odc-by", "ODC-By-1.0", "https://spdx.org/licenses/ODC-By-1.0.html"),
    ("PDDL-1.0", "pddl", "PDDL-1.0", "https://spdx.org/licenses/PDDL-1.0.html"),
    ("C-UDA-1.0", "c-uda", "C-UDA-1.0", "https://spdx.org/licenses/C-UDA-1.0.html"),
    ("CDLA-Permissive-2.0", "cdla-permissive-2.0", "CDLA-Permissive-2.0", None),
    ("GPL-3.0-or-later", "gpl-3.0", "GPL-3.0-or-later", "https://spdx.org/licenses/GPL-3.0-or-later.html"),
    ("AGPL-3.0-only", "agpl-3.0", "AGPL-3.0-only", "https://spdx.org/licenses/AGPL-3.0-only.html"),
    ("openrail++", "openrail++", "openrail++", None),
]


@pytest.mark.parametrize(("stated", "identifier", "text", "url"), LICENCES)
def test_a_known_licence_has_the_identifier_of_hugging_face(
    stated: str, identifier: str, text: str, url: str | None
) -> None:
    found = parse_licence(stated)
    assert found.yaml == {"license": identifier}
    assert identifier in HUB_IDENTIFIERS
    assert found.text == text
    assert url is None or found.url == url
    assert not found.needs_file


OTHER_LICENCES = [
    ("MIT-0", "mit-0", "https://spdx.org/licenses/MIT-0.html"),  # not MIT
    ("CC-BY-1.0", "cc-by-1.0", "https://creativecommons.org/licenses/by/1.0/"),  # unknown to Hugging Face
    ("cc-by", "cc-by", LICENCE_FILE),  # of no version
    ("CC-BY-3.0-AT", "cc-by-3.0-at", "https://spdx.org/licenses/CC-BY-3.0-AT.html"),
    ("MIT OR Apache-2.0", "mit-or-apache-2.0", LICENCE_FILE),
    ("https://example.org/terms", "example.org-terms", "https://example.org/terms"),
    ("For research only: ask us first.", "for-research-only-ask-us-first", LICENCE_FILE),
    ("仅供研究", "custom", LICENCE_FILE),
    ("mit\nevil: yes", "mit-evil-yes", LICENCE_FILE),
    ("true", "true", LICENCE_FILE),
    ("1.0", "1.0", LICENCE_FILE),
]


@pytest.mark.parametrize(("stated", "name", "link"), OTHER_LICENCES)
def test_any_other_licence_is_named_and_linked_as_hugging_face_documents_it(
    stated: str, name: str, link: str, snapshot: Snapshot
) -> None:
    found = header_of(render_card(replace(snapshot.manifest, licence=stated)))
    licence = {key: value for key, value in found.items() if key.startswith("license")}
    assert licence == {"license": "other", "license_name": name, "license_link": link}


@pytest.mark.parametrize("stated", ["", "  ", "none", "Unknown", "other", "no licence"])
def test_what_states_no_licence_is_refused(stated: str) -> None:
    with pytest.raises(UsageError, match=r"states no licence; name one, such as CC-BY-4\.0"):
        parse_licence(stated)


@pytest.mark.parametrize("stated", [None, "", "none", "Unknown"])
def test_words_that_an_older_version_published_as_a_licence_are_shown_as_none(stated: str | None) -> None:
    assert describe_licence(stated).startswith("No licence is stated")


def test_a_licence_of_ones_own_is_a_file_of_the_snapshot(make_raw: Callable[..., Path], tmp_path: Path) -> None:
    dataset = build(make_raw(), tmp_path / "dataset", DatasetConfig()).path
    published, _ = publish(dataset, "toy", tmp_path / "snapshots", PublicationConfig("Ask us | first."))
    assert (published.path / LICENCE_FILE).read_text("utf-8") == "Ask us | first.\n"
    assert verify(open_snapshot(published.path)) == []


def test_without_a_licence_the_card_has_none_and_says_so(snapshot: Snapshot) -> None:
    assert not [key for key in header_of((snapshot.path / "README.md").read_text("utf-8")) if key.startswith("license")]
    assert "No licence is stated: ask the publisher" in (snapshot.path / "README.md").read_text("utf-8")


def test_a_licence_that_is_stated_later_is_published(make_raw: Callable[..., Path], tmp_path: Path) -> None:
    dataset, root = build(make_raw(), tmp_path / "dataset", DatasetConfig()).path, tmp_path / "snapshots"
    said = [
        PublicationConfig(),
        PublicationConfig("CC-BY-4.0"),
        PublicationConfig(),  # says nothing new
        PublicationConfig("CC-BY-4.0", "A", "https://example.org"),
        PublicationConfig(publisher="A"),  # says nothing new
    ]
    versions = [publish(dataset, "toy", root, config) for config in said]
    assert [(published.version, is_new) for published, is_new in versions] == [
        (1, True),
        (2, True),
        (2, False),
        (3, True),
        (3, False),
    ]
    manifest = versions[-1][0].manifest
    assert (manifest.licence, manifest.publisher, manifest.contact) == ("CC-BY-4.0", "A", "https://example.org")


@pytest.mark.parametrize("contact", ["me", "a@b", "ftp://example.org", "a b@example.org"])
def test_a_contact_is_an_e_mail_or_web_address(contact: str) -> None:
    with pytest.raises(ValueError, match="Input should be an e-mail or web address"):
        PublicationConfig(contact=contact)


def test_a_manifest_without_a_publisher_or_with_what_later_versions_add_is_read(snapshot: Snapshot) -> None:
    value = json.loads((snapshot.path / "manifest.json").read_text("utf-8"))
    for key in ("publisher", "contact", "manifest_sha256"):
        del value[key]
    older = from_bytes(json.dumps(value | {"format_version": 1}).encode(), "manifest.json")
    assert (older.publisher, older.contact) == (None, None)
    newer = from_bytes(json.dumps(value | {"format_version": 1, "risk": {"unique": 0.5}}).encode(), "manifest.json")
    assert newer == older


@pytest.mark.parametrize(
    ("name", "publisher", "key", "author"),
    [
        ("my-data", "Lab & Sons_{x}%", "my_data_v0001", r"author  = {{Lab \& Sons\_\{x\}\%}},"),
        ("豆瓣", "实验室", "dataset_v0001", "author  = {{实验室}},"),
        ("toy", None, "toy_v0001", None),
    ],
)
def test_the_dataset_has_a_bibtex_entry(
    name: str, publisher: str | None, key: str, author: str | None, snapshot: Snapshot
) -> None:
    entry = cite(replace(snapshot.manifest, name=name, publisher=publisher))
    assert entry.startswith(f"@misc{{{key},\n")
    assert f"Content digest {snapshot.content_digest}" in entry
    assert "version = {1}," in entry
    assert author in entry if author else "author" not in entry
    assert (re.sub(r"\\[{}]", "", entry).count("{")) == re.sub(r"\\[{}]", "", entry).count("}")
