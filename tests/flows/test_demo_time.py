import time
from typing import Any

import pytest

from features.extractor import Extractor
from flows import demo, demo_time
from flows.demo_time import Speed, announcement, expected_s, measured_speed

QUICK = Speed(0.1, 0.02)


def test_the_announced_time_is_measured_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    compute = Extractor.features

    def slowly(extractor: Extractor, crops: Any) -> Any:
        time.sleep(0.4)
        return compute(extractor, crops)

    monkeypatch.setattr(Extractor, "features", slowly)
    monkeypatch.setattr(demo_time, "_unit", lambda: time.sleep(0.01))
    speed = measured_speed("mobilenet_v3_small")
    assert speed.picture_s >= 0.4 / demo_time._BATCH
    assert speed.unit_s >= 0.01


@pytest.mark.parametrize(
    ("slower", "is_longer"), [(Speed(0.2, 0.02), (True, False)), (Speed(0.1, 0.04), (False, True))]
)
def test_a_slower_part_makes_its_own_time_longer(slower: Speed, is_longer: tuple[bool, bool]) -> None:
    before, after = (expected_s(speed, 300, 120, None) for speed in (QUICK, slower))
    assert tuple(late == 2 * early for early, late in zip(before, after, strict=True)) == is_longer


def test_a_smaller_world_and_fewer_epochs_take_less() -> None:
    usual = expected_s(QUICK, 300, 120, None)
    assert expected_s(QUICK, 300, 12, None)[0] == pytest.approx(usual[0] / 10)
    assert expected_s(QUICK, 30, 120, None)[1] < usual[1]
    assert expected_s(QUICK, 300, 120, 2)[1] < usual[1]
    assert expected_s(QUICK, 300, 120, 1000)[1] == usual[1]


def test_the_announcement_has_the_parts_in_words() -> None:
    assert announcement(Speed(0.5, 0.05), 300, 120, None).endswith(
        "that takes about 7 min: 5 min for the pictures (2.0 per second), 2 min for the rest."
    )


def test_the_demo_announces_its_time_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class StartedError(Exception):
        pass

    def start(*_arguments: object) -> None:
        raise StartedError

    monkeypatch.setattr(demo, "measured_speed", lambda _extractor: QUICK)
    monkeypatch.setattr(demo, "_heading", start)
    with pytest.raises(StartedError):
        demo.demo()
    assert "10.0 per second" in capsys.readouterr().out
