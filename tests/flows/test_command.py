"""The command lines of `python -m flows`."""

from collections.abc import Callable

import pytest

from dataset.errors import UsageError
from flows import __main__ as flows
from flows import demo, extract_features, serve


def test_the_commands_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    flows.main([])
    printed = capsys.readouterr().out
    for command in ("demo", "serve", "run", "forget", "extract-features"):
        assert f" {command} " in printed


@pytest.mark.parametrize(
    ("main", "wrong", "message"),
    [
        (serve.main, ["--image", "x"], "--image and --folder require --pool"),
        (demo.main, ["--port", "70000"], "--port"),
        (demo.main, ["--port", "0"], "--port"),
        (demo.main, ["--port", "8801.5"], "--port"),
        (demo.main, ["--users", "9"], "--users"),
        (demo.main, ["--movies", "40.7"], "--movies"),
        (extract_features.main, ["--precision", "fp8"], "--precision"),
        (extract_features.main, ["--pictures-a-shard", "0"], "--pictures-a-shard"),
        (extract_features.main, ["--runner", "slurm"], "Input should be local, dask or dask:<address>"),
        (serve.main, ["--suffix", "a/b"], "--suffix"),
        (flows.main, ["serve", "--image", "x"], "--image and --folder require --pool"),
        (flows.main, ["run", "build-datasets"], "unknown flow 'build-datasets'; choose one of: build-dataset, build-"),
        (flows.main, ["run", "build-dataset", "-p", "k"], "--param 'k': give name=value"),
        (flows.main, ["run", "build-dataset", "-p", "k=-1"], "k: Input should be greater than or equal to 0"),
        (flows.main, ["run", "build-dataset", "--param", "nonsense=1"], "nonsense: Unexpected keyword argument"),
        (flows.main, ["run", "build-dataset/douban"], "source douban needs a contact"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_starts(
    main: Callable[[list[str]], None], wrong: list[str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        main(wrong)
