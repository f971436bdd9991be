"""Sixty bad plans: each is refused with every bad row at its line, and nothing is sent."""

from pathlib import Path

import pytest

from leadconnector_async import LeadConnector, PlanError
from leadconnector_async.jobs import BulkJob, iterate_plan
from leadconnector_async.jobs.plan.files import PlanFormat
from leadconnector_async.sandbox import Sandbox

TIME = "2027-03-17T09:00:00-04:00"

CSV = {
    "nothing": ("", {1: "no column event_id"}),
    "a byte order mark and nothing": ("\ufeff", {1: "no column event_id"}),
    "no rows": ("event_id,title\n", {1: "no rows"}),
    "no header": (f"abc,{TIME}\n", {1: "unknown column"}),
    "a header of blanks": (" , \n", {1: "no column event_id"}),
    "an unknown column": ("event_id,colour\na,red\n", {1: "colour"}),
    "two unknown columns": ("event_id,colour,size\na,red,x\n", {1: "unknown column"}),
    "a misspelt column": ("event_id,start\na,x\n", {1: "start"}),
    "the same column twice": ("event_id,title,title\na,x,y\n", {1: "two columns are the same field"}),
    "the same column in two spellings": (
        "event_id,startTime,start_time\na,x,y\n",
        {1: "two columns are the same field"},
    ),
    "no id column": ("title\nx\n", {1: "no column event_id"}),
    "no id": ("event_id,title\n,x\n", {2: "empty"}),
    "an id of blanks": ("event_id,title\n   ,x\n", {2: "empty"}),
    "nothing to change": ("event_id,title\na,\n", {2: "no fields"}),
    "only a zone": ("event_id,timezone\na,Europe/London\n", {2: "no fields"}),
    "only a state before": ("event_id,before_title\na,x\n", {2: "no fields"}),
    "more cells than columns": ("event_id,title\na,x,y\n", {2: "more cells"}),
    "a comma without quotes": ("event_id,title\na,Smith, John\n", {2: "more cells"}),
    "the same event twice": ("event_id,title\na,x\na,y\n", {3: "duplicate of line 2"}),
    "the same event three times": (
        "event_id,title\na,x\na,y\na,z\n",
        {3: "duplicate of line 2", 4: "duplicate of line 2"},
    ),
    "the same event in one location": ("event_id,location_id,title\na,l,x\na,l,y\n", {3: "duplicate of line 2"}),
    "a naive time": ("event_id,start_time\na,2027-03-17T09:00:00\n", {2: "no offset"}),
    "a date alone": ("event_id,start_time\na,2027-03-17\n", {2: "no time of day"}),
    "a time in words": ("event_id,start_time\na,tomorrow at nine\n", {2: "ISO 8601"}),
    "an American date": ("event_id,start_time\na,03/17/2027 9:00 AM\n", {2: "no offset"}),
    "a day that does not exist": ("event_id,start_time\na,2027-02-30T09:00:00Z\n", {2: "not a time: day"}),
    "an hour that does not exist": ("event_id,start_time\na,2027-02-20T25:00:00Z\n", {2: "not a time: hour"}),
    "fractions of a second": ("event_id,start_time\na,2027-03-17T09:00:00.5Z\n", {2: "fractions"}),
    "an offset with seconds": ("event_id,start_time\na,2027-03-17T09:00:00+05:30:15\n", {2: "whole minutes"}),
    "an end before the start": (
        f"event_id,start_time,end_time\na,{TIME},2027-03-17T08:00:00-04:00\n",
        {2: "not after"},
    ),
    "an end at the start": (f"event_id,start_time,end_time\na,{TIME},{TIME}\n", {2: "not after"}),
    "a time in a gap": (
        "event_id,start_time,timezone\na,2027-03-14T02:30:00,America/New_York\n",
        {2: "does not exist"},
    ),
    "a time that occurs twice": (
        "event_id,start_time,timezone\na,2027-11-07T01:30:00,America/New_York\n",
        {2: "occurs twice"},
    ),
    "an end in a gap": (
        "event_id,end_time,timezone\na,2027-03-28T01:30:00,Europe/London\n",
        {2: "does not exist"},
    ),
    "no such zone": ("event_id,start_time,timezone\na,2027-03-17T09:00:00,Mars/Base\n", {2: "IANA"}),
    "a zone in short": ("event_id,start_time,timezone\na,2027-03-17T09:00:00,EDT5\n", {2: "IANA"}),
    "a zone that is a path": ("event_id,start_time,timezone\na,2027-03-17T09:00:00,../etc/passwd\n", {2: "IANA"}),
    "a shift in words": ("event_id,shift\na,two days\n", {2: "not a valid shift"}),
    "a shift without a unit": ("event_id,shift\na,+2\n", {2: "not a valid shift"}),
    "an empty shift": ("event_id,shift\na,+\n", {2: "not a valid shift"}),
    "a shift by days without a zone": ("event_id,shift\na,+2d\n", {2: "time zone"}),
    "a zone without summer time, in summer": (
        "event_id,start_time,timezone\na,2027-07-09T09:00,EST\nb,2027-01-09T09:00,EST\nc,2027-07-09T09:00,MST\n",
        {
            2: "use America/New_York (with daylight saving time) or America/Panama (without)",
            4: "use America/Denver (with daylight saving time) or America/Phoenix (without)",
        },
    ),
    "a zone that is right all year": ("event_id,start_time,timezone\na,2027-07-09T09:00,HST\n,x,\n", {3: "empty"}),
    "an offset off the quarter hour": (
        "event_id,start_time,end_time\na,2027-07-09T09:00:00-04:56,2027-07-09T09:30:00-04:56\n",
        {2: "its offset is -04:56, but all offsets in use are multiples of 15 minutes"},
    ),
    "a title of two lines": (
        'event_id,title\na,"Botox\nfollow up"\n',
        {3: "it contains a line break (U+000A at character 6)"},
    ),
    "a shift by days with a bad zone": ("event_id,shift,timezone\na,+2d,Mars/Base\n", {2: "IANA"}),
    "a shift and a time": (f"event_id,shift,start_time\na,+2h,{TIME}\n", {2: "new times as well"}),
    "an unknown status": ("event_id,appointment_status\na,missed\n", {2: "appointment_status"}),
    "a status with more": ("event_id,appointment_status\na,CONFIRMED?2\n", {2: "appointment_status"}),
    "an unknown meeting place": ("event_id,meeting_location_type\na,skype\n", {2: "meeting_location_type"}),
    "neither true nor false": ("event_id,to_notify\na,maybe\n", {2: "neither true nor false"}),
    "a rule": (
        "event_id,rrule,ignore_free_slot_validation\na,RRULE:FREQ=DAILY,true\n",
        {2: "rule of a series"},
    ),
    "a bad state before": ("event_id,title,before_start_time\na,x,yesterday\n", {2: "ISO 8601"}),
    "a naive state before": ("event_id,title,before_start_time\na,x,2027-03-10T09:00:00\n", {2: "no offset"}),
    "four bad rows of five": (
        "event_id,appointment_status\na,x\nb,new\n,new\nc,y\nb,new\n",
        {2: "appointment_status", 4: "empty", 5: "appointment_status", 6: "duplicate of line 3"},
    ),
    "a bad row behind a text of two lines": ('event_id,description\na,"one\ntwo"\n,x\n', {4: "empty"}),
    "semicolons, and a bad row": ("event_id;to_notify\na;maybe\n", {2: "neither true nor false"}),
    "a quote that never ends": (
        'event_id,title\na,"x\nb,y\n,z\n',
        {2: "title: it is not valid CSV: the quotation mark"},
    ),
    "a quote that never ends, behind one that does": (
        'event_id,title,address\nb,y,\na,"one, ""two""\nthree","x\nc,y\n',
        {4: "address: it is not valid CSV: the quotation mark at"},
    ),
    "a quote that never ends, behind quotes in a text": (
        'event_id,title,address\na,5" and 6" nails,"x\nc,y\n',
        {2: "address: it is not valid CSV"},
    ),
    "a quote that ends in the next row": (
        'event_id,title\na,"x\nb,"y"\nc,z\n',
        {2: "in line 3 before 'y"},
    ),
    "a quote that never ends, of a long plan": (
        'event_id,title\na,"x\n' + "b,some title\n" * 11_000,
        {2: "title: it is not valid CSV: the quotation mark at"},
    ),
    "a quote that never ends in the heading": ('event_id,"title\na,x\n', {1: "never closed"}),
    "a text behind a quote in the heading": ('event_id,"title"s\na,x\n', {1: "ends before 's"}),
    "a quote in the heading, below the delimiter": ('sep=;\nevent_id;"title\na;x\n', {2: "never closed"}),
    "JSON, where CSV is named": ('[{"event_id": "a"}]\n', {1: "this is JSON"}),
    "an id with a character that nobody sees": ("event_id,title\na\u200bb,x\n", {2: "U+200B (ZERO WIDTH SPACE)"}),
    "a calendar with such a character": ("event_id,calendar_id\na,b\u2060c\n", {2: "U+2060 (WORD JOINER)"}),
}

JSONL = {
    "no JSON": ("event_id,title\n", {1: "not a valid JSON object"}),
    "an array": ('["a"]\n', {1: "not a valid JSON object"}),
    "half an object": ('{"event_id": "a", "title": "x"}\n{"event_id": "b"\n', {2: "not a valid JSON object"}),
    "an unknown key": ('{"event_id": "a", "colour": "red"}\n', {1: "colour"}),
    "an id that is a number": ('{"event_id": 7, "title": "x"}\n', {1: "not a string"}),
    "a time that is a number": ('{"event_id": "a", "start_time": 1804500000}\n', {1: "not a string"}),
    "a truth that is a number": ('{"event_id": "a", "to_notify": 1}\n', {1: "neither true nor false"}),
    "all empty": ('{"event_id": "a", "title": null}\n', {1: "no fields"}),
    "one field in two spellings": (
        '{"eventId": "a", "event_id": "b", "title": "x"}\n',
        {1: "eventId and event_id"},
    ),
    "a time in two spellings": (
        f'{{"event_id": "a", "startTime": "{TIME}", "start_time": "{TIME}"}}\n',
        {1: "same"},
    ),
    "a key twice": ('{"event_id": "a", "title": "x", "title": "y"}\n', {1: "title is given twice"}),
    "an array that never ends": ('[{"event_id": "a", "title": "x"},\n', {1: "never closed"}),
    "more behind an array": ('[{"event_id": "a", "title": "x"}]\n\n{"event_id": "b"}\n', {3: "more text after"}),
    "an array with bad elements": (
        '[{"event_id": "a", "title": "x"},\n7, {"event_id": "b", "colour": "red"},\n{"event_id": "c"}]\n',
        {2: "unknown column", 3: "element 4: it has no field"},
    ),
    "half an element": ('[{"event_id": "a", "title": "x"},\n{"event_id": "b"]\n', {1: "never closed"}),
    "an array that is empty": ("[]\n", {1: "no rows"}),
    "nothing at all": ("\n\n", {1: "no rows"}),
    "half of a character": ('{"event_id": "a", "title": "\\ud800"}\n', {1: ""}),
}

PLANS = [("csv", *one) for one in CSV.values()] + [("jsonl", *one) for one in JSONL.values()]


def test_there_are_at_least_sixty() -> None:
    """As many as are claimed."""
    assert len(PLANS) >= 60


@pytest.mark.parametrize(("format", "text", "faults"), PLANS, ids=[*CSV, *JSONL])
async def test_every_bad_row_is_reported_at_its_line_and_nothing_is_sent(
    sandbox: Sandbox,
    client: LeadConnector,
    tmp_path: Path,
    format: PlanFormat,
    text: str,
    faults: dict[int, str],
) -> None:
    """With its line, and a reason that says what is wrong."""
    lines = text.splitlines(keepends=True)
    with pytest.raises(PlanError) as caught:
        await BulkJob.create(tmp_path / "job", client, iterate_plan(lines, format=format))
    found = {fault.line: f"{fault.column}: {fault.reason}; {fault.hint}" for fault in caught.value.faults}
    assert found.keys() == faults.keys()
    assert all(reason in found[line] for line, reason in faults.items())
    assert all(str(line) in str(caught.value) for line in faults)
    assert not sandbox.requests
    assert not (tmp_path / "job").exists()
