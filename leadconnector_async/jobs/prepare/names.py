"""Reads the names of contacts: personal data, so only if asked for, and each contact once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final, TypeAlias

from ...client import LeadConnector
from ...exceptions import LeadConnectorError
from ..journal.counts import list_changes
from ..journal.protocol import Journal

ContactKey: TypeAlias = tuple[str, str]
"""A location, and the id of a contact there."""
_AT_ONCE: Final = 16


def list_contacts(most: int | None, journal: Journal) -> list[ContactKey]:
    """The contacts of the changes to send, or of the first of them, each once."""
    rows = islice(((row.location, row.before.contact_id) for row in list_changes(journal)), most)
    return list(dict.fromkeys((location, contact) for location, contact in rows if contact))


async def read_names(
    contacts: Iterable[ContactKey], find_client: Callable[[str], LeadConnector]
) -> dict[ContactKey, str]:
    """The names of contacts. Those that cannot be read are left out; once none can be, no other is asked for."""

    async def read(contact: ContactKey) -> str | None:
        client = find_client(contact[0]).with_options(priority="bulk")
        try:
            found = await client.get_contact(contact[1])
        except LeadConnectorError:
            return None
        return found.name or " ".join(filter(None, (found.first_name, found.last_name)))

    names: dict[ContactKey, str] = {}
    waiting = iter(contacts)
    while some := list(islice(waiting, _AT_ONCE)):
        read_now = await asyncio.gather(*map(read, some))
        if all(name is None for name in read_now):  # the token may lack the scope for contacts
            break
        names |= {contact: name for contact, name in zip(some, read_now, strict=True) if name}
    return names
