"""The names of the faults on the command line: `--faults errors=0.05,growing,refuse-after=100`."""

from crawler.sandbox.answers import Fault
from crawler.sandbox.faults import (
    REFUSALS,
    ChangingLists,
    DeadPictures,
    Failures,
    Rates,
    Refusal,
    chained,
    older_layout,
    private_likes,
    shown_as,
)
from dataset.errors import UsageError

SLOW_S = 12.0  # longer than the crawler waits for the sandbox

_RATES = {
    "errors": "server_error",
    "cut": "cut_body",
    "timeouts": "slow",
    "empty": "empty_page",
    "broken-pictures": "broken_picture",
    "mislabelled-pictures": "mislabelled_picture",
}
_LAYOUTS: dict[str, Fault] = {
    "older": older_layout,
    "gaps": shown_as(gap_every=4),
    "no-data-ids": shown_as(has_data_ids=False),
    "no-like-widget": shown_as(has_like_widget=False),
    "no-likers": shown_as(lists_likers=False),
    "private-likes": private_likes,
}
HELP = (
    f"faults, separated by commas: failures at a rate ({', '.join(f'{name}=0.05' for name in _RATES)}), where a later "
    "attempt succeeds; pictures that are always broken, at a rate (dead-pictures=0.05); lists that change while they "
    f"are read (growing or shrinking); other layouts ({', '.join(_LAYOUTS)}); refusal after a number of answers "
    f"(refuse-after=100), in one of these ways: refuse-with={'|'.join(REFUSALS)}"
)


def faults_from(text: str) -> Fault:
    """Return the faults in a list like `errors=0.05,growing,older`.

    Raises:
        ValueError: an unknown name, or a wrong value.
    """
    switches = dict(part.strip().partition("=")[::2] for part in text.split(","))
    faults: list[Fault] = []
    after, sign = switches.pop("refuse-after", None), switches.pop("refuse-with", "block_redirect")
    if sign not in REFUSALS:
        raise ValueError(f"refuse-with={sign}: give one of {', '.join(REFUSALS)}")
    if after is not None:
        faults.append(Refusal(sign, after=int(_number("refuse-after", after))))
    rates = {field: _number(name, switches.pop(name)) for name, field in _RATES.items() if name in switches}
    if rates:
        try:
            faults.append(Failures(Rates(**rates), slow_s=SLOW_S))
        except UsageError as error:
            raise ValueError(str(error)) from None
    if "dead-pictures" in switches:
        faults.append(DeadPictures(_number("dead-pictures", switches.pop("dead-pictures"))))
    for name, value in switches.items():
        fault = ChangingLists(grows=name == "growing") if name in ("growing", "shrinking") else _LAYOUTS.get(name)
        if fault is None or value:
            raise ValueError(f"{name!r}: unknown fault, or a fault that takes no value")
        faults.append(fault)
    return chained(*faults)


def _number(name: str, text: str) -> float:
    if not text.replace(".", "", 1).isdecimal():
        raise ValueError(f"{name}={text}: give a number of at least 0")
    return float(text)
