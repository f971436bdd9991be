"""The sandbox's table of fields."""

import shutil
import subprocess
import sys
from pathlib import Path

import leadconnector_async

PACKAGE = Path(leadconnector_async.__file__).parent
ROW = '    mood: Annotated[str, Wire("mood", In.ALL)] = "calm"\n'
PROGRAM = """
import json
from leadconnector_async.sandbox import Sandbox

sandbox = Sandbox(appointments=3)
event = sandbox.appointment(sandbox.appointment_ids[0])
headers = {"authorization": f"Bearer {sandbox.token}", "version": "2021-04-15"}

def ask(method, path, body=None):
    sent = json.dumps(body).encode() if body else b""
    url = f"/calendars/events/appointments{path}"
    return json.loads(sandbox._app.receive(method, url, headers, sent, 0.0).body)

made = {"calendarId": event.calendar_id, "locationId": event.location_id, "contactId": event.contact_id}
print(json.dumps([
    ask("GET", f"/{event.id}")["event"].get("mood"),
    ask("PUT", f"/{event.id}", {"mood": "glad"}).get("mood", "rejected"),
    ask("GET", f"/{event.id}")["event"].get("mood"),
    ask("PUT", f"/{event.id}", {"mood": 5})["message"],
    ask("POST", "", {**made, "startTime": "2027-03-20T14:00:00Z", "mood": "new"}).get("mood", "rejected"),
    json.loads(sandbox.snapshot())["appointments"][0].get("mood"),
]))
"""


def run_on_a_copy(folder: Path, row: str) -> str:
    shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    models = folder / PACKAGE.name / "sandbox" / "models.py"
    before = '    description: Annotated[str, Wire("description"'
    text = models.read_text()
    assert before in text
    models.write_text(text.replace(before, row + before))
    ended = subprocess.run(  # noqa: S603
        [sys.executable, "-c", PROGRAM], cwd=folder, check=True, capture_output=True, text=True
    )
    return ended.stdout.strip()


def test_a_new_text_field_is_one_row(tmp_path: Path) -> None:
    """Accepted by create and update, type-checked, stored, shown by get and responses; unknown without the row."""
    assert run_on_a_copy(tmp_path / "with", ROW) == (
        '["calm", "glad", "glad", ["mood must be a string"], "new", "calm"]'
    )
    assert run_on_a_copy(tmp_path / "without", "") == (
        '[null, "rejected", null, ["property mood should not exist"], "rejected", null]'
    )
