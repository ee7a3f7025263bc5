"""The error codes of the mobile JSON (seen in public bug reports and clients), and what each means for a page.

An error is an object with `code` and `msg`, and without the key that the answer should have. The code counts before the
HTTP status: a rate limit comes with status 400, and a log-in that is wanted with 403 or 200. A code that is not listed
is judged by a few words in its message. Nothing of the answer is quoted, because it may name people.
"""

from typing import Any

from crawler.kinds.refusal import REFUSING_STATUSES
from crawler.page import NotUnderstood, PageGone, Refused, Unavailable

_REFUSING = {
    103: "login wall (103 need_login)",
    104: "refused (104 invalid_apikey)",
    105: "refused (105)",
    106: "refused (106)",
    996: "refused (996 invalid_signature)",
    997: "refused (997 missing_signature)",
    1005: "refused (1005)",
    1007: "blocked: a captcha is demanded (1007)",
    1062: "refused (1062 dead apikey)",
    1080: "rate limit (1080 search_access_rate_limit)",
    1287: "refused (1287 invalid_request): the Referer is not accepted",
    1309: "rate limit (1309 subject_ip_rate_limit)",
}
_GONE = {
    404: "no such page (404 traversal_error)",
    1006: "no such subject (1006)",
    1212: "no such subject (1212)",
    2215: "no such subject (2215 subject_not_found)",
}
_UNAVAILABLE = {1000: "not public (1000 need_permission)"}
_REFUSING_WORDS = {
    "rate_limit": "rate limit",
    "need_login": "login wall",
    "captcha": "blocked: a captcha is demanded",
    "access_denied": "refused",
    "forbidden": "refused",
    "异常": "blocked (异常)",
    "频繁": "rate limit (频繁)",
    "验证码": "blocked: a captcha is demanded",
    "登录": "login wall (登录)",
}
_GONE_WORDS = {"not_found": "no such subject", "traversal_error": "no such page", "内容不存在": "no such page"}
_UNAVAILABLE_WORDS = {"need_permission": "not public"}


def raise_for_error(kind: str, value: Any, wanted: str, status: int) -> None:
    """Raise if an answer is an error of the site; do nothing otherwise.

    Args:
        kind: the kind of page that was asked for.
        value: the answer's JSON.
        wanted: the key that an answer of this kind has.
        status: the HTTP status; an unknown error with status 500 or more is left to the caller.

    Raises:
        Refused: we are blocked, or met a login wall or a rate limit.
        PageGone: the site says that there is no such movie, photo or person.
        Unavailable: it exists, but is not public.
        NotUnderstood: the error has an unknown code.
    """
    if not isinstance(value, dict) or wanted in value or "code" not in value or "msg" not in value:
        return
    code = _code(value["code"])
    if code in _REFUSING:
        raise Refused(_REFUSING[code])
    if code in _UNAVAILABLE:
        raise Unavailable(_UNAVAILABLE[code])
    if code in _GONE:
        raise PageGone(_GONE[code])
    words = f"{value['msg']} {value.get('localized_message')}".lower()
    by_words: tuple[tuple[type[Exception], dict[str, str]], ...] = (
        (Refused, _REFUSING_WORDS),
        (Unavailable, _UNAVAILABLE_WORDS),
        (PageGone, _GONE_WORDS),
    )
    for outcome, signs in by_words:
        if meaning := next((meaning for sign, meaning in signs.items() if sign in words), None):
            raise outcome(f"{meaning} ({code if code is not None else 'no code'})")
    if status < 500 and status not in REFUSING_STATUSES:
        raise NotUnderstood(kind, "error code", f"is {code}, which is not known")


def _code(value: Any) -> int | None:
    """Return a code that is a number, or written as one; None for anything else."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 9:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
