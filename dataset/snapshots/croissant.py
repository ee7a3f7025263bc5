"""Writes the dataset card for machines: `croissant.json`, in ML Commons' Croissant format.

Each table has one `FileObject` (SHA-256 and size) and one `RecordSet` with one field per column. Genres
and directors are repeated fields; a feature is an array of Float16 with the extractor's width.

Source: https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html
"""

import re
from pathlib import Path
from typing import Any

from dataset.files import write_json
from dataset.schema import SNAPSHOT_TABLES
from dataset.snapshots.card import NO_LICENCE, PURPOSE, describe_privacy
from dataset.snapshots.manifest import Manifest, TableEntry, TableFile

FILE_NAME = "croissant.json"
_TYPES = {
    "String": "sc:Text",
    "Enum": "sc:Text",
    "Date": "sc:Date",
    "Datetime": "sc:DateTime",
    "Int16": "cr:Int16",
    "UInt32": "cr:UInt32",
    "Float32": "cr:Float32",
    "Float16": "cr:Float16",
}
_TERMS = """
    arrayShape citeAs column equivalentProperty extract field fileObject fileProperty fileSet format includes isArray
    isLiveDataset jsonPath key md5 parentField path recordSet references regex repeated replace samplingRate separator
    source subField transform
"""
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{name: f"cr:{name}" for name in _TERMS.split()},
}


def write_croissant(manifest: Manifest, folder: Path) -> str:
    """Write a snapshot's `croissant.json` to a folder and return its name."""
    write_json(folder / FILE_NAME, croissant(manifest))
    return FILE_NAME


def croissant(manifest: Manifest) -> dict[str, Any]:
    """Return a snapshot's description as JSON-LD."""
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"],
        "name": manifest.name,
        "version": f"{manifest.version}.0.0",
        "description": PURPOSE,
        "url": "./",
        "license": manifest.licence or NO_LICENCE,
        "datePublished": manifest.created_at[:10],
        "citeAs": f"{manifest.label}, content digest {manifest.content_digest}",
        "keywords": ["recommendation", "implicit feedback", "multimedia", "key frame"],
        "isLiveDataset": False,
        "rai:personalSensitiveInformation": describe_privacy(manifest),
        "rai:dataCollection": f"Source: {manifest.provenance.get('source', 'unknown')}; see README.md.",
        "distribution": [_file(file) for entry in manifest.tables.values() for file in entry.files],
        "recordSet": [_records(name, entry) for name, entry in manifest.tables.items()],
    }


def _file(file: TableFile) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": file.name,
        "name": file.name,
        "contentUrl": file.name,
        "contentSize": f"{file.size_bytes} B",
        "encodingFormat": "application/x-parquet",
        "sha256": file.sha256,
    }


def _records(name: str, entry: TableEntry) -> dict[str, Any]:
    schema = SNAPSHOT_TABLES[name]
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": " ".join((schema.__doc__ or "").split()),
        "key": [{"@id": f"{name}/{column}"} for column in schema.primary_key()],
        "field": [_field(name, entry.names[0], column, dtype) for column, dtype in entry.columns.items()],
    }


def _field(table: str, file: str, column: str, dtype: str) -> dict[str, Any]:
    """Return the field of a column with polars type `dtype`, for example `Array(Float16, shape=(4096,))`."""
    outer, inner, shape = re.fullmatch(r"(?:(List|Array)\()?(\w+).*?(?:shape=\((\d+),\)\))?", dtype).groups()  # type: ignore[union-attr]
    field: dict[str, Any] = {
        "@type": "cr:Field",
        "@id": f"{table}/{column}",
        "name": column,
        "dataType": _TYPES[inner],
        "source": {"fileObject": {"@id": file}, "extract": {"column": column}},
    }
    if outer:
        field |= {"isArray": True, "arrayShape": shape or "-1"}
    return field
