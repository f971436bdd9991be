"""The parts of a workbook, which is a ZIP archive: bounded before anything unpacks them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from zipfile import ZipFile

from openpyxl.styles.numbers import BUILTIN_FORMATS
from openpyxl.xml.constants import ARC_CONTENT_TYPES, ARC_STYLE, SHARED_STRINGS
from openpyxl.xml.functions import fromstring

from .sheet_xml import MAIN, SAVE_AGAIN, check_no_document_type
from .text_files import BadFile

MOST_OF_A_SHEET: Final = 1_000_000_000
"""Bytes of a sheet, which is read row by row: a million rows have fewer."""
_MOST_OF_THE_TEXTS: Final = 100_000_000
"""Bytes of the texts that the sheets share, all of which are held in memory."""
_MOST_OF_A_PART: Final = 10_000_000
"""Bytes of any other part that is read."""
_MOST_PARTS: Final = 10_000
_MOST_PARTS_READ: Final = 20
_FORMATS: Final = f"{{{MAIN}}}numFmts/{{{MAIN}}}numFmt"
_STYLES: Final = f"{{{MAIN}}}cellXfs/{{{MAIN}}}xf"
_MAIN: Final = "main+xml"
"""How the type of the part ends that lists the sheets."""


def check_parts(archive: ZipFile) -> None:
    """Raise `BadFile` for a file that is not a workbook, or not one that can be read safely."""
    names = set(archive.namelist())
    _check_is_workbook(names)
    checked: set[str] = set()
    for name, most in _list_parts(archive, names):
        if name not in checked:
            check_size(archive, name, most)
            with archive.open(name) as part:
                check_no_document_type(part)
        checked.add(name)
        if len(checked) > _MOST_PARTS_READ:
            raise BadFile("the workbook is damaged: it has several lists of its sheets", SAVE_AGAIN)


def check_size(archive: ZipFile, name: str, most: int) -> None:
    """Raise `BadFile` for a part that unpacks to more. An archive never unpacks to more than it says."""
    size = archive.getinfo(name).file_size
    if size > most:
        reason = f"the workbook is too large: {name[:100]} unpacks to {size:,} bytes, more than {most:,}"
        raise BadFile(reason, "remove what is not the plan, or save the plan as CSV UTF-8")


def is_calculated(archive: ZipFile, main: str) -> bool:
    """Whether formulas have the values that a spreadsheet program has calculated.

    A library that writes formulas cannot calculate them: it asks for that to be done when the workbook is opened.
    """
    found = fromstring(archive.read(main)).find(f"{{{MAIN}}}calcPr")
    return found is None or found.get("fullCalcOnLoad") not in ("1", "true")


def read_formats(archive: ZipFile) -> list[str]:
    """The number formats of the styles of cells. openpyxl refuses some stylesheets for their colours."""
    if ARC_STYLE not in archive.namelist():
        return []
    sheet = fromstring(archive.read(ARC_STYLE))
    codes = dict(BUILTIN_FORMATS)
    codes.update((int(one.get("numFmtId", "")), one.get("formatCode", "")) for one in sheet.findall(_FORMATS))
    return [codes.get(int(one.get("numFmtId", "0")), "General") for one in sheet.findall(_STYLES)]


def _list_parts(archive: ZipFile, names: set[str]) -> Iterator[tuple[str, int]]:
    """Those that openpyxl reads as a whole, and how large each may be."""
    yield ARC_CONTENT_TYPES, _MOST_OF_A_PART
    if ARC_STYLE in names:
        yield ARC_STYLE, _MOST_OF_A_PART
    for part in fromstring(archive.read(ARC_CONTENT_TYPES)).iter("*"):
        name, kind = part.get("PartName", "")[1:], part.get("ContentType", "")
        if name in names and kind == SHARED_STRINGS:
            yield name, _MOST_OF_THE_TEXTS
        elif name in names and kind.endswith(_MAIN):
            yield name, _MOST_OF_A_PART
            folder, _, base = name.rpartition("/")
            if (links := f"{folder}/_rels/{base}.rels") in names:
                yield links, _MOST_OF_A_PART


def _check_is_workbook(names: set[str]) -> None:
    if len(names) > _MOST_PARTS:
        raise BadFile(f"the workbook has more than {_MOST_PARTS:,} parts", SAVE_AGAIN)
    if "xl/workbook.bin" in names:
        raise BadFile("this is a binary workbook (.xlsb)", "save it as an Excel workbook (.xlsx)")
    if ARC_CONTENT_TYPES not in names or not any(name.startswith("xl/") for name in names):
        raise BadFile("this is a ZIP archive, but not a workbook", "give a plan in .xlsx, CSV or JSON")
