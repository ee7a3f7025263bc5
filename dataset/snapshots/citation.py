"""How to cite a snapshot: BibTeX and `CITATION.cff`; and the paper whose task it serves."""

import json
import re
from collections.abc import Iterable
from typing import Any

from dataset.snapshots.manifest import Manifest, version_folder

CITATION_FILE = "CITATION.cff"
PAPER_ARXIV = "1906.00246"

PAPER = """\
@inproceedings{wu2019personalized,
  title     = {Personalized Multimedia Item and Key Frame Recommendation},
  author    = {Wu, Le and Chen, Lei and Yang, Yonghui and Hong, Richang and Ge, Yong and Xie, Xing and Wang, Meng},
  booktitle = {Proceedings of the International Joint Conference on Artificial Intelligence (IJCAI)},
  year      = {2019}
}"""


def cite(manifest: Manifest) -> str:
    """Return a BibTeX entry for a snapshot."""
    key = re.sub(r"[^A-Za-z0-9]+", "_", manifest.name).strip("_") or "dataset"
    fields = _authors(manifest) | {
        "title": f"{{{_in_tex(manifest.name)}}}, version {manifest.version}",
        "year": manifest.created_at[:4],
        "version": str(manifest.version),
        "note": f"Content digest {manifest.content_digest}",
        **({"doi": manifest.doi} if manifest.doi else {}),
    }
    lines = [f"  {name:<7} = {{{value}}}," for name, value in fields.items()]
    return "\n".join([f"@misc{{{key}_{version_folder(manifest.version)},", *lines, "}"])


def _authors(manifest: Manifest) -> dict[str, str]:
    if manifest.creators:
        return {"author": " and ".join(map(_in_tex, manifest.creators))}
    return {"author": f"{{{_in_tex(manifest.publisher)}}}"} if manifest.publisher else {}


def citation_file(manifest: Manifest, people: Iterable[dict[str, str]], licence: str | None) -> str:
    """Return the text of a `CITATION.cff` for a deposited copy.

    Args:
        manifest: the copy's manifest, with a DOI.
        people: its authors, each with `family-names` and `given-names`, and perhaps `affiliation` and `orcid`.
        licence: the name that SPDX has for the licence, None if it has none.

    Source: Citation File Format 1.2.0, doi.org/10.5281/zenodo.5171937.
    """
    facts: dict[str, Any] = {
        "cff-version": "1.2.0",
        "message": "If you use this dataset, please cite it, and the paper whose task it serves.",
        "type": "dataset",
        "title": f"{manifest.name}, version {manifest.version}",
        "version": str(manifest.version),
        "authors": list(people),
        "doi": manifest.doi,
        "date-released": manifest.created_at[:10],
        **({"license": licence} if licence else {}),
        **({"abstract": manifest.description} if manifest.description else {}),
        "identifiers": [
            {"type": "other", "value": f"sha256:{manifest.content_digest}", "description": "The digest of its content."}
        ],
        "references": [
            {
                "type": "conference-paper",
                "title": "Personalized Multimedia Item and Key Frame Recommendation",
                "authors": [
                    {"family-names": family, "given-names": given}
                    for family, given in re.findall(r"(\w+), (\w+)", PAPER.splitlines()[2])
                ],
                "year": 2019,
                "collection-title": "Proceedings of the International Joint Conference on Artificial Intelligence",
                "identifiers": [{"type": "other", "value": f"arXiv:{PAPER_ARXIV}"}],
            }
        ],
    }
    return "".join(f"{key}: {_in_yaml(value)}\n" for key, value in facts.items())


def _in_yaml(value: Any) -> str:
    """Return a value as JSON, which is YAML too; a text without the signs that YAML does not allow."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(sign if sign.isprintable() else " " for sign in text)


def _in_tex(text: str) -> str:
    """Return text with the characters escaped that mean something to TeX."""
    return re.sub(r"([&%$#_{}])", r"\\\1", text.replace("\\", " ")).replace("~", " ").replace("^", " ")
