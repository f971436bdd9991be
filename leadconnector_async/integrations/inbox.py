"""Webhooks of a backend: verified, for an app and a location of its own, and processed once.

Needs no web framework. What an event says is believed only after its signature was verified. As one key signs for
all apps, `INSTALL` and `UNINSTALL` of another app are ignored, and so are events of locations without a token.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Final, Literal, TypeAlias

from .._sharing.deliveries import DeliveryLedger, name_delivery
from .._sharing.keys import KeyStore, MemoryKeys
from ..client import LeadConnector
from ..oauth import OAuthApp
from ..shared import Shared
from ..webhooks import WebhookEvent, WebhookVerifier

Skipped: TypeAlias = Literal["foreign", "done", "busy"]
"""Why an event is not processed: it is not for this backend, it was processed, or it is being processed."""

_INSTALLS: Final = ("INSTALL", "UNINSTALL")
_SHORTEST_KEEP: Final = 86_400.0
_LONGEST_KEEP: Final = 30 * 86_400.0
_MOST_IN_MEMORY: Final = 100_000
_LOGGER: Final = logging.getLogger("leadconnector_async")


class WebhookInbox:
    """The webhooks of one app, or of the location of a private token."""

    def __init__(
        self, verifier: WebhookVerifier, client: LeadConnector, oauth: OAuthApp | None, shared: Shared | None
    ) -> None:
        self._verifier = verifier
        self._client = client
        self._oauth = oauth
        store: KeyStore = MemoryKeys(most=_MOST_IN_MEMORY) if shared is None else shared.keys
        keep = min(max(verifier.max_age_seconds, _SHORTEST_KEEP), _LONGEST_KEEP)
        self._ledger = DeliveryLedger(store, keep)
        self._app = (shared.app if shared is not None else None) or ("" if oauth is None else oauth.client_id)

    @asynccontextmanager
    async def receive(self, body: bytes, headers: Mapping[str, str]) -> AsyncGenerator[WebhookEvent | Skipped]:
        """The event of a delivery, or why it is not processed; an error in the block allows the next delivery.

        Raises `WebhookError`, `TokenStoreError`, `StoreUnavailableError`, and after an `INSTALL` what
        `OAuthApp.location_token` raises.
        """
        event = self._verifier.verify(body, headers)
        if not await self._is_ours(event):
            yield "foreign"
            return
        name = name_delivery(self._app, event.webhook_id or hashlib.sha256(body).hexdigest())
        async with self._ledger.process(name) as state:
            if state != "begun":
                yield state
                return
            if self._oauth is not None and event.type in _INSTALLS:
                await _follow_install(self._oauth, event)
            yield event

    async def _is_ours(self, event: WebhookEvent) -> bool:
        if self._oauth is None:
            return event.location_id is not None and event.location_id == self._client.location_id
        if event.type in _INSTALLS:
            return event.app_id is not None and event.app_id == _name_app(self._oauth)
        return event.location_id is not None and await self._oauth.is_connected(event.location_id)


def _name_app(oauth: OAuthApp) -> str:
    """The id of an app: its client id, up to the hyphen [field]."""
    return oauth.client_id.partition("-")[0]


async def _follow_install(oauth: OAuthApp, event: WebhookEvent) -> None:
    """Get the token of a location that an agency has added, or remove the tokens of one that has left."""
    location_id, company_id = event.location_id, event.company_id
    if event.type == "UNINSTALL":
        if (key := location_id or company_id) is not None:
            sent_at = None if event.timestamp is None else event.timestamp.timestamp()
            await oauth.forget(key, issued_before=sent_at)
    elif location_id is not None and company_id is not None and not await oauth.is_connected(location_id):
        if await oauth.is_connected(company_id):
            await oauth.location_token(company_id, location_id)
        else:
            _LOGGER.debug("a location was added whose user has to return with a code")
