from pathlib import Path

import pytest

from dataset.errors import UsageError
from flows.build_dataset import build_dataset
from flows.server.start import prefect_server, status_of


def test_the_real_site_is_not_crawled_without_a_contact_and_ids() -> None:
    with pytest.raises(UsageError, match="needs a contact"):
        build_dataset.fn(source="douban", name="douban", movies=["1"])
    with pytest.raises(UsageError, match="movies or users to start from"):
        build_dataset.fn(source="douban", name="douban", contact="a@example.org")


def test_a_server_elsewhere_that_does_not_answer_is_not_replaced(tmp_path: Path) -> None:
    with (
        pytest.raises(UsageError, match="no Prefect server answers"),
        prefect_server(tmp_path, "http://192.0.2.1:4200/api"),
    ):
        pass


def test_nothing_answers_on_a_free_port() -> None:
    assert status_of("http://127.0.0.1:9/api") is None
