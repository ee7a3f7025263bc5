"""The names of faults and oddities on the command line: `--faults errors=0.05,growing,refuse-after=100`.

A preset is such a list of names. Names that are given besides a preset replace its values.
"""

from dataclasses import dataclass, field, fields

from crawler.sandbox.answers import ROLES, Fault
from crawler.sandbox.faults.chain import chained
from crawler.sandbox.faults.failures import DeadPictures, Failures, Rates
from crawler.sandbox.faults.layouts import ChangingLists, older_layout, shown_as
from crawler.sandbox.faults.limits import RateLimiter
from crawler.sandbox.faults.opt_outs import DIRECTIVES, OptOuts
from crawler.sandbox.faults.refusals import JSON_REFUSALS, SIGNS, Challenge, Refusal, closed_subjects, private_likes
from crawler.sandbox.oddities import Oddities
from dataset.errors import UsageError

SLOW_S = 12.0  # longer than the crawler waits for the sandbox

_RATES = {
    "errors": "server_error",
    "cut": "cut_body",
    "timeouts": "slow",
    "empty": "empty_page",
    "broken-pictures": "broken_picture",
    "mislabelled-pictures": "mislabelled_picture",
    "empty-pages": "empty_list",
    "missing-next": "missing_next",
    "json-errors": "json_error",
    "strange": "strange_page",
}
_ODDITIES = {one.name.replace("_", "-"): one.name for one in fields(Oddities)}
_USUAL_RATE = 0.05  # of an oddity that is named without a rate
_LAYOUTS: dict[str, Fault] = {
    "older": older_layout,
    "gaps": shown_as(gap_every=4),
    "no-data-ids": shown_as(has_data_ids=False),
    "no-like-widget": shown_as(has_like_widget=False),
    "no-like-numbers": shown_as(has_like_numbers=False),
    "no-likers": shown_as(lists_likers=False),
    "private-likes": private_likes,
    "gone-likes": shown_as(has_gone_likes=True),
    "blank-items": shown_as(has_blank_items=True),
    "wide-totals": shown_as(narrows_total=False),
    "closed-subjects": closed_subjects,
}
PRESETS = {
    # How the site answers a guest, as public evidence of 2026 describes it.
    "2026": "closed-subjects,challenge=86,empty-pages=0.04,missing-next=0.03,json-errors=0.03,gaps,dateless=0.02,"
    "deleted=0.03,autolinks=0.03,login-only=0.04,merged=0.05,censored=0.03,bad-items=0.01,blank-items",
}


def _with_rates(*names: str) -> str:
    return ", ".join(f"{name}=0.05" for name in names)


HELP = (
    f"faults, separated by commas: failures at a rate ({_with_rates(*_RATES)}), where a later attempt succeeds; "
    f"oddities of the world ({', '.join(_ODDITIES)}), with a rate or without; pictures that are always broken, at a "
    f"rate (dead-pictures=0.05); opt-outs at a rate ({_with_rates(*DIRECTIVES)}); lists that change while they are "
    f"read (growing or shrinking); other layouts ({', '.join(_LAYOUTS)}); refusal after a number of answers "
    f"(refuse-after=100), in one of these ways: refuse-with={'|'.join(SIGNS)}, by one host: "
    f"refuse-host={'|'.join(ROLES)}, with a time to wait (retry-after=60); a challenge after a number of pages of "
    "collections (challenge=86), lifted after two refusals; refusal of requests that come too fast, where a number of "
    "seconds stands for 5 (rate-limit=0.05)"
)


@dataclass(frozen=True)
class Switched:
    """What a list of names switches on: the oddities of the world, and a fault (None: no fault)."""

    oddities: Oddities = field(default_factory=Oddities)
    fault: Fault | None = None


def switched(text: str | None, preset: str | None = None) -> Switched:
    """Return what a list like `errors=0.05,growing,dateless` switches on, together with a preset.

    Raises:
        ValueError: an unknown name, or a wrong value.
    """
    switches = _parsed(PRESETS[preset]) if preset else {}
    switches |= {} if text is None else _parsed(text)
    rates = {
        rate: _number(name, switches.pop(name) or str(_USUAL_RATE))
        for name, rate in _ODDITIES.items()
        if name in switches
    }
    try:
        return Switched(Oddities(**rates), _fault(switches) if switches else None)
    except UsageError as error:
        raise ValueError(str(error)) from None


def _parsed(text: str) -> dict[str, str]:
    return dict(part.strip().partition("=")[::2] for part in text.split(","))


def _fault(switches: dict[str, str]) -> Fault:
    faults = _refusals(switches)
    rates = {rate: _number(name, switches.pop(name)) for name, rate in _RATES.items() if name in switches}
    if rates:
        faults.append(Failures(Rates(**rates), slow_s=SLOW_S))
    if "dead-pictures" in switches:
        faults.append(DeadPictures(_number("dead-pictures", switches.pop("dead-pictures"))))
    opt_outs = {name: _number(name, switches.pop(name)) for name in DIRECTIVES if name in switches}
    if opt_outs:
        faults.append(OptOuts(opt_outs))
    for name, value in switches.items():
        fault = ChangingLists(grows=name == "growing") if name in ("growing", "shrinking") else _LAYOUTS.get(name)
        if fault is None or value:
            raise ValueError(f"{name!r}: unknown fault, or a fault that takes no value")
        faults.append(fault)
    return chained(*faults)


def _refusals(switches: dict[str, str]) -> list[Fault]:
    """Take the refusals out of the switches."""
    idle = [name for name in ("refuse-with", "refuse-host", "retry-after") if name in switches]
    after, sign = switches.pop("refuse-after", None), switches.pop("refuse-with", "block_redirect")
    if sign not in SIGNS:
        raise ValueError(f"refuse-with={sign}: give one of {', '.join(SIGNS)}")
    host = switches.pop("refuse-host", "mobile" if sign in JSON_REFUSALS else "movie")
    if host not in ROLES:
        raise ValueError(f"refuse-host={host}: give one of {', '.join(ROLES)}")
    wait = switches.pop("retry-after", None)
    wait_s = None if wait is None else int(_number("retry-after", wait))
    faults: list[Fault] = []
    if "rate-limit" in switches:
        faults.append(RateLimiter(_number("rate-limit", switches.pop("rate-limit"))))
    if after is not None:
        faults.append(Refusal(sign, int(_number("refuse-after", after)), host, wait_s))
    elif idle:
        raise ValueError(f"{idle[0]} needs refuse-after")
    if "challenge" in switches:
        faults.append(Challenge(int(_number("challenge", switches.pop("challenge")))))
    return faults


def _number(name: str, text: str) -> float:
    if not text.replace(".", "", 1).isdecimal():
        raise ValueError(f"{name}={text}: give a number of at least 0")
    return float(text)
