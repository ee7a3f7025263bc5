"""Links, paths and extras in the READMEs. The commands in them run in `test_stages.py` and `test_own_data.py`."""

import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
READMES = [
    ROOT / name
    for name in subprocess.check_output(["git", "ls-files", "*README.md", ".github/SECURITY.md"], cwd=ROOT)
    .decode()
    .split()
]


def test_the_readme_opens_with_the_two_commands_and_fits_a_page():
    text = (ROOT / "README.md").read_text("utf-8")
    (first, *_) = re.findall(r"^```\n(.*?)^```$", text, re.M | re.S)
    assert [line.split("#")[0].strip() for line in first.splitlines()] == [
        "make demo",
        "make test",
    ]
    assert text.split("```")[0].strip() == "# douban-keyframes"
    assert len(text.split()) <= 1000


def test_the_readmes_links_lead_somewhere():
    for readme in READMES:
        text = readme.read_text("utf-8")
        for target in re.findall(r"\]\(([^)]+)\)", text):
            if target.startswith("https://"):
                continue
            name, _, anchor = target.partition("#")
            file = readme.parent / name if name else readme
            assert file.is_file(), f"{readme}: {target}"
            if anchor:
                headings = re.findall(r"^#+ (.+)$", file.read_text("utf-8"), re.M)
                slugs = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
                assert anchor in slugs, f"{readme}: {target}"


def test_each_claim_about_security_names_tests_that_exist():
    text = (ROOT / ".github" / "SECURITY.md").read_text("utf-8")
    protected = text.split("## What is protected\n")[1].split("\n## ")[0]
    claims = re.split(r"\n(?=- |\*\*)", protected.strip())
    without = [
        claim for claim in claims if not re.search(r"`tests/[\w/]+/test_\w+\.py`", claim) and not claim.endswith(":\n")
    ]
    assert without == ["- The digests show damage. They do not show who made a snapshot.\n"]
    named = set(re.findall(r"`(tests/[\w/]+\.py)`", text))
    assert named
    assert [name for name in named if not (ROOT / name).is_file()] == []
    assert len(text.splitlines()) < 120


def test_the_paths_that_the_readmes_name_exist():
    for readme in READMES:
        text = readme.read_text("utf-8")
        for path in re.findall(r"`((?:crawler|dataset|features|model|flows|tests)/[\w/.]*)`", text):
            assert (ROOT / path).exists(), f"{readme}: {path}"


def test_the_extras_that_the_readmes_name_exist():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    named = {extra for readme in READMES for extra in re.findall(r"'\.\[(\w+)\]'", readme.read_text("utf-8"))}
    assert named == {"train", "timm", "open_clip", "all"}
    assert named <= extras.keys()
