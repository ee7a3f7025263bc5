"""Opens a bundle that anybody may have made: only known names, plain files of known sizes, valid tables.

Nothing is unpacked under a name of the archive's, nothing is decompressed by the archive, and no code is loaded.
"""

import shutil
import struct
import tempfile
import zipfile
from pathlib import Path
from typing import NoReturn

import polars as pl

from dataset.documents import parse_document
from dataset.errors import InvalidBundleError, InvalidTableError, MissingInputError, UsageError
from dataset.files import sha256_of_file
from dataset.tables import canonical, read_table
from model.bundles.contents import FILES, MANIFEST, STUDY, TABLES, Bundle, BundleManifest
from model.report.model_styles import arm_of

_LARGEST_TEXT = 1 << 20
_REMEDY = "get the bundle from its source again"
_DAMAGED = (zipfile.BadZipFile, zipfile.LargeZipFile, struct.error, EOFError, NotImplementedError, ValueError, OSError)


def open_bundle(path: Path) -> Bundle:
    """Read a bundle. Its tables are valid and are those of its manifest; `model.bundles.verify` checks the numbers.

    Raises:
        MissingInputError: there is no such file.
        InvalidBundleError: it is not a bundle, or it is damaged.
    """
    if not path.is_file():
        raise MissingInputError(f"{path}: no such file; `python -m model.bundle` makes a bundle")
    with tempfile.TemporaryDirectory(prefix="bundle-") as folder:
        names = _unpack(path, Path(folder))
        content = (Path(folder) / MANIFEST).read_bytes()
        manifest: BundleManifest = parse_document(
            BundleManifest,
            content,
            f"{path}: {MANIFEST}",
            f"{_REMEDY}, or update this program (it reads format 1)",
            InvalidBundleError,
        )
        _require_files(path, Path(folder), names, manifest)
        tables = {name: _table(path, Path(folder), name) for name in TABLES}
        study = _study(path, Path(folder)) if STUDY in names else None
    bundle = Bundle(path.name.removesuffix(".zip"), sha256_of_file(path), manifest, tables, study)
    _require_runs(path, bundle)
    return bundle


def _unpack(path: Path, folder: Path) -> list[str]:
    """Copy the files of the archive into a folder, and return their names."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            names = [member.filename for member in members]
            if unknown := [name for name in names if name not in FILES]:
                _refuse(path, f"holds {len(unknown):,} files that no bundle has, for example {unknown[0][:80]!r}")
            if len(set(names)) < len(names):
                _refuse(path, "holds a file twice")
            if lacking := [name for name in FILES if name not in names and name != STUDY]:
                _refuse(path, f"lacks {lacking[0]}")
            is_plain = all(
                one.compress_type == zipfile.ZIP_STORED and one.compress_size == one.file_size and not one.flag_bits & 1
                for one in members
            )
            if not is_plain or sum(one.file_size for one in members) > path.stat().st_size:
                _refuse(path, "holds compressed or encrypted files, or claims more than it holds")
            for name in names:
                with archive.open(name) as source, (folder / name).open("wb") as target:
                    shutil.copyfileobj(source, target)
    except _DAMAGED as error:
        _refuse(path, f"is not a ZIP file that can be read ({' '.join(str(error).split())[:120]})")
    return names


def _require_files(path: Path, folder: Path, names: list[str], manifest: BundleManifest) -> None:
    """Check that the files are those of the manifest."""
    found = sorted(name for name in names if name != MANIFEST)
    if found != sorted(manifest.files):
        _refuse(path, f"its files ({', '.join(found)}) are not those of {MANIFEST}")
    if (manifest.study is None) != (STUDY not in names):
        _refuse(path, f"{MANIFEST} and the files disagree on whether there is a study")
    for name, digest in manifest.files.items():
        if sha256_of_file(folder / name) != digest:
            _refuse(path, f"{name}: its bytes are not those of {MANIFEST} (SHA-256 differs)")


def _table(path: Path, folder: Path, name: str) -> pl.DataFrame:
    file = folder / f"{name}.parquet"
    try:
        return canonical(read_table(file, TABLES[name]), TABLES[name])
    except InvalidTableError as error:
        raise InvalidBundleError(f"{path}: {str(error).replace(str(file), file.name)}") from None


def _study(path: Path, folder: Path) -> str:
    content = (folder / STUDY).read_bytes()
    if len(content) > _LARGEST_TEXT:
        _refuse(path, f"{STUDY}: {len(content):,} bytes are too many for a study")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        _refuse(path, f"{STUDY}: is not UTF-8")


def _require_runs(path: Path, bundle: Bundle) -> None:
    """Check that every table has rows of exactly the runs of the manifest."""
    runs = [(run.label, run.seed) for run in bundle.manifest.runs]
    if len(set(runs)) < len(runs):
        _refuse(path, f"{MANIFEST}: two runs have the same label and seed")
    for label, _ in runs:
        try:
            arm_of(label)
        except UsageError as error:
            _refuse(path, str(error))
    if not set(bundle.manifest.baselines) <= {run.label for run in bundle.manifest.runs}:
        _refuse(path, f"{MANIFEST}: a baseline is none of the runs")
    for name in ("held_out_ranks", "candidate_ranks", "user_metrics", "metrics"):
        found = set(bundle.tables[name].select("model", "seed").unique().iter_rows())
        if found != set(runs):
            _refuse(path, f"{name}.parquet: has rows of other runs than {MANIFEST} names")


def _refuse(path: Path, why: str) -> NoReturn:
    raise InvalidBundleError(f"{path}: {why}; {_REMEDY}")
