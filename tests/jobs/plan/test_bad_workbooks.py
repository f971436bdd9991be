"""Workbooks that are damaged, or made to harm whoever unpacks them: each is refused, and nothing of it is read."""

import re
import string
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pytest

from .workbooks import (
    PLAIN,
    SHARED,
    TEXTS,
    build,
    by_hand,
    find_faults,
    shown,
)


def repack(path: Path, **parts: bytes | None) -> None:
    """Other content for some parts; `None` leaves one out."""
    with ZipFile(path) as archive:
        content: dict[str, bytes | None] = {name: archive.read(name) for name in archive.namelist()}
    content.update(parts)
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        for name, part in content.items():
            if part is not None:
                archive.writestr(name, part)


SHEET, STRINGS, STYLES = "xl/worksheets/sheet1.xml", "xl/sharedStrings.xml", "xl/styles.xml"
LAUGHS = b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    "part", [SHEET, STRINGS, STYLES, "xl/workbook.xml", "[Content_Types].xml", "xl/_rels/workbook.xml.rels"]
)
def test_a_document_type_is_refused(tmp_path: Path, part: str) -> None:
    """In every part that is read: entities could expand to any size."""
    path = build(tmp_path, by_hand(SHARED, texts=(*TEXTS, "<t>ev1</t>")))
    with ZipFile(path) as archive:
        content = archive.read(part)
    repack(path, **{part: LAUGHS + content})
    (fault,) = find_faults(path).values()
    assert "contains a document type (DTD), which no spreadsheet program writes; open it in a" in fault


@pytest.mark.parametrize(
    ("part", "size"),
    [(STRINGS, 100_000_001), (STYLES, 10_000_001), ("xl/workbook.xml", 10_000_001), (SHEET, 1_000_000_001)],
)
def test_a_part_that_unpacks_to_too_much_is_refused(tmp_path: Path, part: str, size: int) -> None:
    """Before it is unpacked: what the archive says of its size is what it can unpack to at most."""
    path = build(tmp_path, by_hand(PLAIN))
    packed = path.read_bytes()
    with ZipFile(path) as archive:
        info = archive.getinfo(part)
    begin = packed.rindex(b"PK\x01\x02", 0, packed.rindex(part.encode()))
    path.write_bytes(packed[: begin + 24] + size.to_bytes(4, "little") + packed[begin + 28 :])
    assert info.file_size < size
    (fault,) = find_faults(path).values()
    assert (
        f"the workbook is too large: {part} unpacks to {size:,} bytes, more than {size - 1:,}; remove what" in fault
    )


@pytest.mark.parametrize(
    "rows",
    [
        PLAIN.replace('r="2"', 'r="1"').replace("A2", "A1").replace("B2", "B1").replace("C2", "C1"),
        PLAIN.replace('"B2"', '"A2"'),
        PLAIN.replace('"B2"', '"B3"'),
        PLAIN.replace('"B2"', '"XFE9999999"'),
        PLAIN.replace('"B2"', '"2B"'),
        PLAIN.replace('r="2"', 'r="1048577"').replace("A2", "A1048577"),
        PLAIN.replace('r="2"', 'r="two"'),
        PLAIN.replace("ev1", "e" * 100_001),
        PLAIN.removesuffix("</row>"),
        PLAIN.replace(f't="inlineStr">{shown("ev1")}', 't="s"><v>7</v>'),
        PLAIN.replace("ev1", "\x00"),
    ],
)
def test_a_damaged_sheet_is_refused(tmp_path: Path, rows: str) -> None:
    """No cell is lost because another one claims its place."""
    (fault,) = find_faults(build(tmp_path, by_hand(rows))).values()
    assert ": the workbook is damaged: " in fault
    assert "; open it in a spreadsheet program and save it again, or save it as CSV UTF-8" in fault


def test_ranges_that_merge_everything_again_and_again_are_refused(tmp_path: Path) -> None:
    """They overlap, which no spreadsheet program lets them do; going through them would take hours."""
    ranges = "".join(f'<mergeCell ref="{letter}1:{letter}10000"/>' for letter in string.ascii_uppercase) * 5
    (fault,) = find_faults(build(tmp_path, by_hand(PLAIN, after=f"<mergeCells>{ranges}</mergeCells>"))).values()
    assert "it merges more rows than a sheet has" in fault


def test_more_parts_than_a_workbook_has_are_not_read(tmp_path: Path) -> None:
    """Each could be as large as the largest one that is allowed."""
    path = build(tmp_path, by_hand(PLAIN))
    with ZipFile(path) as archive:
        types = archive.read("[Content_Types].xml").decode()
    names = [f"xl/other{number}.xml" for number in range(30)]
    kind = re.findall('ContentType="([^"]+main[+]xml)"', types)[0]
    more = "".join(f'<Override PartName="/{name}" ContentType="{kind}"/>' for name in names)
    changed = types.replace("</Types>", f"{more}</Types>").encode()
    repack(path, **{"[Content_Types].xml": changed}, **dict.fromkeys(names, b"<x/>"))
    (fault,) = find_faults(path).values()
    assert "the workbook is damaged: it has several lists of its sheets" in fault


@pytest.mark.parametrize("part", [SHEET, "xl/workbook.xml", "xl/_rels/workbook.xml.rels"])
def test_a_workbook_without_a_part_is_refused(tmp_path: Path, part: str) -> None:
    """Whatever openpyxl raises for it."""
    path = build(tmp_path, by_hand(PLAIN))
    repack(path, **{part: None})
    (fault,) = find_faults(path).values()
    assert ": the workbook is damaged: " in fault


@pytest.mark.parametrize("cut", [10, 200, 1000])
def test_a_workbook_that_is_cut_is_refused(tmp_path: Path, cut: int) -> None:
    """Such as an interrupted download."""
    path = build(tmp_path, by_hand(PLAIN))
    path.write_bytes(path.read_bytes()[:-cut])
    (fault,) = find_faults(path).values()
    assert ": the workbook is damaged: File is not a zip file; open it in" in fault


def test_bytes_that_changed_are_refused(tmp_path: Path) -> None:
    """The archive's checksums are checked."""
    path = tmp_path / "plan.xlsx"
    by_hand(PLAIN)(path)
    with ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with ZipFile(path, "w") as archive:
        for name, part in content.items():
            archive.writestr(name, part)
    path.write_bytes(path.read_bytes().replace(b"ev1", b"ev2"))
    (fault,) = find_faults(path).values()
    assert ": the workbook is damaged: Bad CRC-32 for file 'xl/worksheets/sheet1.xml'" in fault


def test_another_archive_is_not_a_workbook(tmp_path: Path) -> None:
    """Such as a folder of plans."""
    path = tmp_path / "plans.zip"
    with ZipFile(path, "w") as archive:
        archive.writestr("plan.csv", "event_id,title\nev1,x\n")
    assert find_faults(path) == {
        1: ": this is a ZIP archive, but not a workbook; give a plan in .xlsx, CSV or JSON"
    }
