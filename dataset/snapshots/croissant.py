"""Writes the dataset card for machines: `croissant.json`, in ML Commons' Croissant format.

Each file of a table is a `FileObject` (SHA-256 and size), and each table a `RecordSet` with one field per column,
described as in the card. Genres and directors are repeated fields; a feature is an array of Float16 with the
extractor's width.

Source: https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html
"""

from pathlib import Path
from typing import Any

from dataset.columns import ColumnType, DescribedColumn, describe_table
from dataset.dates import Dates, describe_published
from dataset.files import write_json
from dataset.schema import schema_of
from dataset.snapshots.citation import cite
from dataset.snapshots.datasheet import PURPOSE
from dataset.snapshots.licences import NO_LICENCE, parse_licence
from dataset.snapshots.manifest import Manifest, TableEntry, TableFile
from dataset.snapshots.responsible_ai import responsible_ai

FILE_NAME = "croissant.json"
_TYPES = {
    "String": "sc:Text",
    "Enum": "sc:Text",
    "Date": "sc:Date",
    "Datetime": "sc:DateTime",
    "Int16": "cr:Int16",
    "UInt32": "cr:UInt32",
    "Float32": "cr:Float32",
    "Float64": "cr:Float64",
    "Boolean": "sc:Boolean",
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
        "description": manifest.description or PURPOSE,
        "url": f"https://doi.org/{manifest.doi}" if manifest.doi else "./",
        "license": _licence(manifest.licence),
        "datePublished": manifest.created_at[:10],
        **_publisher(manifest),
        "citeAs": cite(manifest),
        "keywords": ["recommendation", "implicit feedback", "multimedia", "key frame"],
        "isLiveDataset": False,
        **responsible_ai(manifest),
        "distribution": [_file(file) for entry in manifest.tables.values() for file in entry.files],
        "recordSet": [_records(name, entry, manifest.dates) for name, entry in manifest.tables.items()],
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


def _records(name: str, entry: TableEntry, dates: Dates | None) -> dict[str, Any]:
    schema = schema_of(name)
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": describe_table(schema),
        "key": [{"@id": f"{name}/{column}"} for column in schema.primary_key()],
        "field": [
            _field(name, entry.names[0], column, ColumnType.parse(entry.columns[column.name]))
            for column in describe_published(schema, entry.columns, dates)
        ],
    }


def _field(table: str, file: str, column: DescribedColumn, of: ColumnType) -> dict[str, Any]:
    field: dict[str, Any] = {
        "@type": "cr:Field",
        "@id": f"{table}/{column.name}",
        "name": column.name,
        "description": column.sentences(),
        "dataType": _TYPES[of.inner],
        "source": {"fileObject": {"@id": file}, "extract": {"column": column.name}},
    }
    if of.outer:
        field |= {"isArray": True, "arrayShape": str(of.width or -1)}
    return field


def _licence(stated: str | None) -> str:
    """Return the address of the licence's text, or its name where none is known."""
    licence = parse_licence(stated) if stated else None
    return (licence.url or licence.text) if licence else NO_LICENCE


def _publisher(manifest: Manifest) -> dict[str, Any]:
    people = [{"@type": "sc:Person", "name": name} for name in manifest.creators]
    if manifest.publisher is None and manifest.contact is None:
        return {"creator": people} if people else {}
    by = {"@type": "sc:Organization", "name": manifest.publisher or manifest.contact}
    if manifest.contact:
        by["url" if manifest.contact.lower().startswith("http") else "email"] = manifest.contact
    return {"publisher": by, "creator": people or by}
