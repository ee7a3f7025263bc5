from pathlib import Path

import pytest

from flows.stamps import Stamp, digests_of_files


@pytest.fixture
def stamp(tmp_path: Path) -> Stamp:
    output = tmp_path / "table.parquet"
    output.write_bytes(b"rows")
    return Stamp(tmp_path / "stamps" / "stage.json", {"k": 5}, (output,))


def test_a_stage_that_has_never_ended_has_no_current_stamp(stamp: Stamp) -> None:
    assert not stamp.is_current()


def test_a_stage_with_the_same_inputs_and_untouched_outputs_is_skipped(stamp: Stamp) -> None:
    stamp.write()
    assert stamp.is_current()


def test_other_inputs_mean_another_run(stamp: Stamp) -> None:
    stamp.write()
    assert not Stamp(stamp.path, {"k": 4}, stamp.outputs).is_current()


@pytest.mark.parametrize("harm", ["delete", "write"])
def test_a_touched_or_missing_output_means_another_run(stamp: Stamp, harm: str) -> None:
    stamp.write()
    (output,) = stamp.outputs
    if harm == "delete":
        output.unlink()
    else:
        output.write_bytes(b"rowz and more")
    assert not stamp.is_current()


def test_a_torn_stamp_means_another_run(stamp: Stamp) -> None:
    stamp.write()
    stamp.path.write_text('{"inputs": ')
    assert not stamp.is_current()


def test_a_file_that_is_not_there_has_no_digest(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    digests = digests_of_files([tmp_path / "b", tmp_path / "a"])
    assert digests["b"] is None
    assert digests["a"] is not None
