"""Makes the plan that ships with the package: `python -m tests.make_clinic_day`.

The clinic of seed 1 is closed on 10 March 2027: its appointments move by a week, wall-clock time kept across
the change to daylight saving time; some only get another status or title, and instances of the series move by
an hour.
"""

import csv
import io
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from dateutil.rrule import rrulestr

from leadconnector_async.recurrence import InstanceId
from leadconnector_async.sandbox.models import BookedAppointment
from leadconnector_async.sandbox.seed import build_store
from leadconnector_async.sandbox.store import Store

PATH = Path(__file__).parent.parent / "leadconnector_async" / "cli" / "clinic_day.csv"
COLUMNS = (
    "event_id",
    "title",
    "appointment_status",
    "assigned_user_id",
    "start_time",
    "end_time",
    "timezone",
    "ignore_free_slot_validation",
)
SINGLES = 224
INSTANCES = 7


def build_plan() -> str:
    store = build_store(1, 250)
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_list_singles(store))
    writer.writerows(_list_instances(store))
    return text.getvalue()


def _list_singles(store: Store) -> Iterator[dict[str, str]]:
    for number, event_id in enumerate(store.first_location.appointment_ids[:SINGLES]):
        event = store.find(event_id)
        assert event is not None
        if number % 9 == 4:
            yield {"event_id": event_id, "appointment_status": "showed"}
        elif number % 9 == 7:
            status = event.appointment_status
            yield {"event_id": event_id, "title": f"{event.title} (by phone)", "appointment_status": status}
        else:
            zone = store.calendars[event.calendar_id].zone
            yield _move(event, zone, days=7, hours=0, with_offset=number % 2 == 0)


def _list_instances(store: Store) -> Iterator[dict[str, str]]:
    for series_id in store.first_location.series_ids:
        master = store.find(series_id)
        assert master is not None
        assert master.rrule is not None
        zone = ZoneInfo(store.calendars[master.calendar_id].zone)
        starts = rrulestr(master.rrule, dtstart=master.start_time.astimezone(zone), forceset=True)
        length = master.end_time - master.start_time
        for start in list(starts.xafter(master.start_time, INSTANCES)):
            instance = store.find(str(InstanceId(series_id, start, length)))
            assert instance is not None
            yield _move(instance, zone.key, days=0, hours=1, with_offset=False)


def _move(event: BookedAppointment, zone: str, *, days: int, hours: int, with_offset: bool) -> dict[str, str]:
    row = {
        "event_id": event.id,
        "appointment_status": event.appointment_status,
        "assigned_user_id": event.assigned_user_id,
        "ignore_free_slot_validation": "true",
    }
    for name, instant in (("start_time", event.start_time), ("end_time", event.end_time)):
        wall = instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None) + timedelta(days=days, hours=hours)
        local = wall.replace(tzinfo=ZoneInfo(zone))
        row[name] = local.isoformat() if with_offset else wall.isoformat()
    return row if with_offset else row | {"timezone": zone}


if __name__ == "__main__":
    PATH.write_text(build_plan(), encoding="utf-8")
    sys.stdout.write(f"{PATH.name} written\n")
