"""Licences as a publisher states them, with the names that Hugging Face, SPDX and Croissant use for them."""

import re
from dataclasses import dataclass

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from dataset.errors import UsageError

_IDENTIFIERS = """
    afl-3.0 agpl-3.0 apache-2.0 artistic-2.0 bigcode-openrail-m bigscience-bloom-rail-1.0 bigscience-openrail-m bsd
    bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-nc-2.0
    cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0
    cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0 cdla-permissive-2.0 cdla-sharing-1.0
    creativeml-openrail-m deepfloyd-if-license ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 gemma gfdl gpl gpl-2.0
    gpl-3.0 isc lgpl lgpl-2.1 lgpl-3.0 lgpl-lr llama2 lppl-1.3c mit mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1 openrail
    openrail++ osl-3.0 pddl postgresql unlicense wtfpl zlib
"""
HUB_IDENTIFIERS = frozenset(_IDENTIFIERS.split())
"""The identifiers that a card's `license` may have, beside `other` and `unknown`.

Source: huggingface.co/docs/hub/repositories-licenses.
"""

LICENCE_FILE = "LICENSE"
"""The file with the licence's text, where it is neither a known licence nor an address."""

NO_LICENCE = "No licence is stated: ask the publisher before you use or share this dataset."

_FAMILIES = ("c-uda", "gfdl", "gpl", "lgpl", "odbl", "odc-by", "pddl")
"""The identifiers that stand for any version: Hugging Face's `odbl` is SPDX's `ODbL-1.0`."""

_ONE_VERSION = ("c-uda", "odbl", "odc-by", "pddl")
"""Those of them that have only had version 1.0."""

_MAX_SLUG = 60
_NO_LICENCE = ("none", "other", "unknown", "no licence", "no license")
_ADDRESSES = (  # of well-known licences, and the names that they stand for
    (r"creativecommons\.org/licenses/([a-z-]+)/(\d\.\d)(?:/[a-z.-]*)?", r"cc-\1-\2"),
    (r"creativecommons\.org/publicdomain/zero/1\.0(?:/[a-z.-]*)?", "cc0-1.0"),
    (r"opendatacommons\.org/licenses/(odbl|pddl)(?:/.*)?", r"\1"),
    (r"opendatacommons\.org/licenses/by(?:/.*)?", "odc-by"),
    (r"spdx\.org/licenses/([\w.+-]+?)(?:\.html|\.json)?/?", r"\1"),
    (r"(?:www\.)?opensource\.org/licen[cs]es?/([\w.+-]+?)/?", r"\1"),
)
_FILLERS = re.compile(r"\b(?:the|licen[cs]e|version)\b|,|\bv(?=\d)", re.IGNORECASE)
_CREATIVE_COMMONS = re.compile(r"cc-(by(?:-nc)?(?:-nd|-sa)?)-(\d\.\d)")


@dataclass(frozen=True)
class Licence:
    """A licence.

    Attributes:
        text: how people name it: its SPDX name if it has one, else as the publisher states it.
        hub_identifier: its identifier on Hugging Face, None if it has none there.
        url: the address of its text, None if none is known.
    """

    text: str
    hub_identifier: str | None = None
    url: str | None = None

    @property
    def slug(self) -> str:
        """A short name of lower-case letters, digits, dots and dashes, for `license_name`."""
        words = re.sub(r"[^a-z0-9.]+", "-", re.sub(r"^https?://", "", self.text.lower())).strip("-.")
        return words if len(words) <= _MAX_SLUG else words[:_MAX_SLUG].rpartition("-")[0] or words[:_MAX_SLUG]

    @property
    def yaml(self) -> dict[str, str]:
        """The fields of a card's YAML header.

        Source: github.com/huggingface/hub-docs, datasetcard.md.
        """
        if self.hub_identifier:
            return {"license": self.hub_identifier}
        return {"license": "other", "license_name": self.slug or "custom", "license_link": self.url or LICENCE_FILE}

    @property
    def needs_file(self) -> bool:
        """Whether the snapshot has to hold the licence's text, because nothing else does."""
        return not self.hub_identifier and not self.url


def parse_licence(stated: str) -> Licence:
    """Return the licence that a publisher states: a name of SPDX or Hugging Face in any case, an address or a sentence.

    Raises:
        UsageError: it is empty, or says that there is no licence.
    """
    text = " ".join(stated.split())
    if not _is_licence(text):
        raise UsageError(f"licence {stated!r} states no licence; name one, such as CC-BY-4.0, or leave it out")
    is_address = re.match(r"https?://", text, re.IGNORECASE)
    names = [_name_at(text)] if is_address else [text, "-".join(_FILLERS.sub(" ", text).split())]
    found = next((known for name in names if name and (known := _known(name))), None)
    return found or Licence(text, url=text if is_address else None)


def describe_licence(stated: str | None) -> str:
    """Return a licence that a publisher states with the address of its text; or that none is stated."""
    if stated is None or not _is_licence(" ".join(stated.split())):  # older versions published any words
        return NO_LICENCE
    licence = parse_licence(stated)
    return licence.text if licence.url in (None, licence.text) else f"{licence.text} ({licence.url})"


def _is_licence(text: str) -> bool:
    return bool(text) and text.lower() not in _NO_LICENCE


def _name_at(address: str) -> str | None:
    place = re.sub(r"^https?://(?:www\.)?", "", address, flags=re.IGNORECASE)
    for pattern, name in _ADDRESSES:
        if match := re.fullmatch(pattern, place, re.IGNORECASE):
            return match.expand(name)
    return None


def _known(name: str) -> Licence | None:
    """Return the licence with a name of SPDX or Hugging Face, None if there is none."""
    name = "cc0-1.0" if name.lower() == "cc0" else name
    hub = _hub_identifier(name.lower())
    spdx = _spdx(name) or (_spdx(f"{name}-1.0") if hub in _ONE_VERSION else None)
    if spdx is None:
        return Licence(name.lower(), hub) if hub else None
    if match := _CREATIVE_COMMONS.fullmatch(spdx.lower()):
        return Licence(spdx, hub, f"https://creativecommons.org/licenses/{match[1]}/{match[2]}/")
    if spdx == "CC0-1.0":
        return Licence(spdx, hub, "https://creativecommons.org/publicdomain/zero/1.0/")
    is_listed = " " not in spdx and not spdx.startswith("LicenseRef-")
    return Licence(spdx, hub, f"https://spdx.org/licenses/{spdx.removesuffix('+')}.html" if is_listed else None)


def _spdx(name: str) -> str | None:
    try:
        return str(canonicalize_license_expression(name))
    except InvalidLicenseExpression:
        return None


def _hub_identifier(name: str) -> str | None:
    """Return Hugging Face's identifier; it often leaves out what follows the name: GPL-3.0-or-later, ODbL-1.0."""
    shortened = re.sub(r"(-only|-or-later|\+)$", "", name)
    family = re.sub(r"-\d[\d.]*$", "", shortened)
    found = next((candidate for candidate in (name, shortened) if candidate in HUB_IDENTIFIERS), None)
    return found or (family if family in _FAMILIES else None)
