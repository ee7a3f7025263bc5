"""BibTeX entries: of a snapshot, and of the paper whose task it serves."""

import re

from dataset.snapshots.manifest import Manifest, version_folder

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
    author = {"author": f"{{{_in_tex(manifest.publisher)}}}"} if manifest.publisher else {}
    fields = author | {
        "title": f"{{{_in_tex(manifest.name)}}}, version {manifest.version}",
        "year": manifest.created_at[:4],
        "version": str(manifest.version),
        "note": f"Content digest {manifest.content_digest}",
    }
    lines = [f"  {name:<7} = {{{value}}}," for name, value in fields.items()]
    return "\n".join([f"@misc{{{key}_{version_folder(manifest.version)},", *lines, "}"])


def _in_tex(text: str) -> str:
    """Return text with the characters escaped that mean something to TeX."""
    return re.sub(r"([&%$#_{}])", r"\\\1", text.replace("\\", " ")).replace("~", " ").replace("^", " ")
