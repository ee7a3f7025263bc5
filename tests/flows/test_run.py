"""A flow run by its name alone, and published to an object store with all that its settings file states."""

from collections.abc import Callable
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client

from dataset.snapshots.snapshot import latest
from dataset.snapshots.verify import verify
from flows import __main__ as flows


@pytest.mark.timeout(900)
def test_a_flow_runs_by_its_name_and_publishes_to_an_object_store_with_licence_publisher_and_description(
    server: dict[str, str],
    make_raw: Callable[..., Path],
    in_s3: str,
    tmp_path: Path,
) -> None:
    (tmp_path / "lab").mkdir()
    make_raw().rename(tmp_path / "lab" / "raw")
    settings = tmp_path / "lab.toml"
    settings.write_text(
        f'source = "import"\ndata = "{tmp_path}"\nextractor = "mobilenet_v3_small"\nweights = "random:0"\n'
        f'root = "{in_s3}"\nlicence = "CC-BY-4.0"\npublisher = "Lab of Examples"\n'
        'contact = "data@example.org"\ndescription = "What people of our city watch."\n'
    )
    for _ in range(2):  # the second time, nothing is new
        flows.main(["run", "build-dataset", "--settings", str(settings), "-p", "k=2"])
    snapshot = latest(in_s3, "lab")
    assert snapshot is not None
    assert snapshot.version == 1
    assert verify(snapshot) == []
    card = (snapshot.folder.read("README.md") or b"").decode()
    manifest = snapshot.manifest
    assert (manifest.licence, manifest.publisher, manifest.contact) == (
        "CC-BY-4.0",
        "Lab of Examples",
        "data@example.org",
    )
    assert "\n# lab, version 1\n\nWhat people of our city watch.\n" in card
    assert manifest.config["k_user"] == 2
    with get_client(sync_client=True) as client:
        (link,) = [one for one in client.read_artifacts() if one.key == "snapshot-lab"][:1]
        assert f"{in_s3}/lab/v0001" in str(link.data)
