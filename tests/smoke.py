"""Run against the built wheel, in an environment without extras: one update, and what must not be there."""

import asyncio
import importlib
import importlib.metadata
import importlib.util
import sys

from leadconnector_async import AppointmentUpdate, LeadConnector, __file__, __version__
from leadconnector_async.cli import main as command
from leadconnector_async.sandbox import Sandbox


async def main() -> None:
    async with Sandbox() as sandbox:
        async with LeadConnector(sandbox.token, base_url=sandbox.url) as client:
            updated = await client.update_appointment(sandbox.appointment_ids[0], AppointmentUpdate(title="Wheel"))
    assert updated.title == "Wheel"


assert "site-packages" in __file__, __file__
assert importlib.util.find_spec("cyclopts") is None
asyncio.run(main())
code: object = None
try:
    command()
except SystemExit as ended:
    code = ended.code
assert code == 2
hint = ""
try:
    importlib.import_module("leadconnector_async.webhooks")
except ModuleNotFoundError as missing:
    hint = str(missing)
assert "pip install 'leadconnector-async[webhooks]'" in hint, hint
description = str(importlib.metadata.metadata("leadconnector-async").get_payload())
assert "# leadconnector_async" in description
assert "](docs" not in description, "a package index shows no files of the repository"
sys.stdout.write(f"leadconnector_async {__version__} works from its wheel\n")
