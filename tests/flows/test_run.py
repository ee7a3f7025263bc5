"""A flow run by its name alone, and published to an object store with all that its settings file states."""

from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from moto.server import ThreadedMotoServer
from prefect.client.orchestration import get_client

from dataset.snapshots.snapshot import latest
from dataset.snapshots.verify import verify
from flows import __main__ as flows


@pytest.mark.timeout(900)
def test_a_flow_runs_by_its_name_and_publishes_to_an_object_store_with_licence_publisher_and_description(
    server: dict[str, str],
    make_raw: Callable[..., Path],
    s3_environment: Callable[[str], dict[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "lab").mkdir()
    make_raw().rename(tmp_path / "lab" / "raw")
    settings = tmp_path / "lab.toml"
    settings.write_text(
        f'source = "import"\ndata = "{tmp_path}"\nextractor = "mobilenet_v3_small"\nweights = "random:0"\n'
        'root = "s3://bucket/datasets"\nlicence = "CC-BY-4.0"\npublisher = "Lab of Examples"\n'
        'contact = "data@example.org"\ndescription = "What people of our city watch."\n'
    )
    store = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    store.start()
    host, port = store.get_host_and_port()
    for name, value in s3_environment(f"http://{host}:{port}").items():
        monkeypatch.setenv(name, value)
    try:
        assert requests.put(f"http://{host}:{port}/bucket", timeout=30).ok
        for _ in range(2):  # the second time, nothing is new
            flows.main(["run", "build-dataset", "--settings", str(settings), "-p", "k=2"])
        snapshot = latest("s3://bucket/datasets", "lab")
        assert snapshot is not None
        assert snapshot.version == 1
        assert verify(snapshot) == []
        card = (snapshot.folder.read("README.md") or b"").decode()
    finally:
        store.stop()
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
        assert "s3://bucket/datasets/lab/v0001" in str(link.data)
