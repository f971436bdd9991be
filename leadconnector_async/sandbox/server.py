"""`Sandbox`: the local server as one object, for tests, demos and the command line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Final, Self

from .admin import Admin
from .app import SandboxApp
from .calendars import Calendars
from .contacts import edit_contact, get_contact
from .faults import Fault, FaultScript, Quirks
from .guard import Guard
from .listener import Listener
from .models import BookedAppointment, Contact
from .oauth import (
    AGENCY_SCOPES,
    ALL_SCOPES,
    PIT_APP,
    READ,
    WRITE,
    TokenEndpoint,
    TokenKind,
    TokenRegistry,
    TokenRules,
    UserType,
)
from .rate_limits import Limits
from .request_log import RequestLog
from .seed import build_id, build_store
from .settings import check_faults, check_host, check_kind, check_number, check_switch, name_host
from .snapshots import read_snapshot, take_snapshot
from .store import SEED_DAY, Store
from .webhook_methods import WebhookMethods, read_loop
from .webhooks import Webhooks

_OF_USER_TYPE: Final[dict[UserType, tuple[str, ...]]] = {"Location": (), "Company": AGENCY_SCOPES}
_LEAST: Final = {"locations": 1, "appointments": 0, "seed": -1_000_000_000, "log_size": 0}


class Sandbox(WebhookMethods):
    """A local server that behaves like HighLevel's, with no account and no network.

        async with Sandbox() as sandbox:
            client = LeadConnector(sandbox.token, base_url=sandbox.url, location_id=sandbox.location_id)

    `seed`, `locations` and `appointments` (of each location) decide what it contains: the same numbers give the
    same ids and data, and more locations leave the first as it is. `varied=True` adds to each location a calendar
    of every kind, one that needs notice and a draft: `calendars` finds them. `faults` maps an operation to what
    goes wrong, in order: see `Fault`. `strict=False` skips the checks of User-Agent, contact, team and slot.
    `log_size` requests are kept in `requests`. `port=0` takes a free port. `host` is an IP address to listen on,
    such as `0.0.0.0` for all in a container; on loopback, requests to other names than `localhost` are refused.
    Every change of an appointment is sent to `webhook_url` as a signed webhook; its host must be loopback or one of
    `webhook_hosts`. Raises `InvalidRequestError`, a `ValueError`, for a setting that cannot work.
    """

    webhooks: Webhooks
    """Who gets webhooks, how they are delivered, and the deliveries so far."""
    url: str
    """Where it listens, such as `http://127.0.0.1:40123`; the loopback address, if it listens on all."""
    token: str
    """A Private Integration Token with all scopes of the calendars and contacts."""
    admin_token: str
    """For the admin routes, where `host` is not loopback; another one each time."""

    def __init__(
        self,
        *,
        seed: int = 1,
        appointments: int = 250,
        locations: int = 1,
        varied: bool = False,
        limits: Limits | None = None,
        quirks: Quirks | None = None,
        faults: Mapping[str, Sequence[Fault | str]] | None = None,
        token_rules: TokenRules | None = None,
        strict: bool = True,
        log_size: int = 10_000,
        host: str = "127.0.0.1",
        port: int = 0,
        webhook_url: str | None = None,
        webhook_hosts: Iterable[str] = (),
    ) -> None:
        host = check_host(host)
        check_number("port", port, 0, 65_535)
        _check_sizes(locations=locations, appointments=appointments, seed=seed, log_size=log_size)
        _check_parts(limits, quirks, token_rules, faults, strict=strict, varied=varied)
        self._seed = seed
        self._build_store = partial(_build_store, seed, appointments, locations, varied=varied)
        self._faults = dict(faults or {})
        self._host = host
        store, rules = self._build_store(), token_rules or TokenRules()
        app = SandboxApp(
            store,
            *_build_tokens(seed, rules, store),
            quirks=quirks or Quirks(),
            limits=limits or Limits(),
            strict=strict,
            log_size=log_size,
        )
        self._prepare_webhooks(app, seed, webhook_url, webhook_hosts)
        self._plan_faults()
        self._listener = self._build_listener(host, port)
        self.url = ""
        self.token = self.issue_token("pit")

    def _build_listener(self, host: str, port: int) -> Listener:
        guard = Guard(host)
        self.admin_token = guard.token
        return Listener(self._app, Admin(self._app, self, self.reset, self.restore), guard, host, port)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url or 'not started'} location_id={self.location_id!r}>"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start listening; `url` is valid from then on. Raises `ConfigurationError` if the port cannot be had."""
        port = await self._listener.start()
        await self.webhooks.start()
        self.url = f"http://{name_host(self._host)}:{port}"

    async def stop(self) -> None:
        """Close the port and all connections."""
        await self._listener.stop()
        await self.webhooks.stop()

    def reset(self) -> None:
        """Restore the initial state, counters, log and faults. Tokens, limits, quirks and the clock stay."""
        self._app.reset(self._build_store())
        self._plan_faults()

    def _touch(self) -> None:
        """Let the clock of changes move on, though no request came."""
        self._app.move_clock(read_loop())

    def _plan_faults(self) -> None:
        for operation, planned in self._faults.items():
            self._app.faults.plan(operation, planned)

    @property
    def location_id(self) -> str:
        """The location (Sub-Account); the first, if there are several."""
        return self.store.first_location.id

    @property
    def location_ids(self) -> tuple[str, ...]:
        """All locations of the agency, `location_id` first."""
        return tuple(self.store.locations)

    @property
    def appointment_ids(self) -> tuple[str, ...]:
        """Ids of the single appointments of `location_id`, in seeded order."""
        return self.store.first_location.appointment_ids

    @property
    def series_ids(self) -> tuple[str, ...]:
        """Ids of the masters of the series of `location_id`."""
        return self.store.first_location.series_ids

    def find_appointment_ids(self, location_id: str) -> tuple[str, ...]:
        """As `appointment_ids`, of the location `location_id`. Raises `KeyError` for an unknown one."""
        return self.store.locations[location_id].appointment_ids

    def find_series_ids(self, location_id: str) -> tuple[str, ...]:
        """As `series_ids`, of the location `location_id`. Raises `KeyError` for an unknown one."""
        return self.store.locations[location_id].series_ids

    @property
    def calendars(self) -> Calendars:
        """The calendars: `find` them by their kind, or `add` one."""
        return Calendars(self.store, self._seed)

    @property
    def store(self) -> Store:
        """The whole state, of all locations."""
        return self._app.store

    def snapshot(self) -> bytes:
        """The state as JSON: appointments, series, block slots, notes, contacts, calendars, users.

        Two equal states give equal bytes: the dates of changes are not in it, nor are tokens, counters, faults
        and the clock.
        """
        return take_snapshot(self.store)

    def restore(self, snapshot: bytes) -> None:
        """Return to a state that `snapshot` saved, of this sandbox or of one with the same seed and locations.

        What differs counts as changed now; no webhooks are sent. Raises `InvalidRequestError`, a `ValueError`, for
        other bytes, and leaves the state as it is.
        """
        self._touch()
        self._app.replace_store(read_snapshot(snapshot, self.store))

    @property
    def requests(self) -> RequestLog:
        """What the server saw."""
        return self._app.requests

    @property
    def faults(self) -> FaultScript:
        """The planned faults; `unused()` returns those that no request has met yet."""
        return self._app.faults

    @property
    def limits(self) -> Limits:
        """The rate limits of every location that has none of its own; can be set while it runs."""
        return self._app.rate_limits.default

    @limits.setter
    def limits(self, limits: Limits) -> None:
        self._app.rate_limits.default = limits

    def set_limits(self, location_id: str, limits: Limits | None) -> None:
        """Give one location its own limits; `None` removes them. Raises `KeyError` for an unknown one.

        `location_id` is the location, and `limits` are its new ones. `Limits(daily=0)` makes a location whose daily
        limit is used up.
        """
        self._app.set_limits(location_id, limits)

    @property
    def quirks(self) -> Quirks:
        """The oddities of the real server; can be set while it runs."""
        return self._app.quirks

    @quirks.setter
    def quirks(self, quirks: Quirks) -> None:
        self._app.quirks = quirks

    def advance(self, seconds: float) -> None:
        """Set the sandbox's clock forward by `seconds`: windows pass, the day ends, tokens expire.

        Nothing waits.
        """
        self._app.clock.advance(seconds)

    def issue_token(
        self,
        kind: TokenKind = "pit",
        *,
        scopes: Iterable[str] | None = None,
        location_id: str | None = None,
        user_type: UserType = "Location",
        app: str | None = None,
    ) -> str:
        """Make another token, with all scopes if none are named. `user_type="Company"` makes one of the agency.

        `kind` is `pit` for a Private Integration Token, or `access` for an access token of the app. `scopes` are
        what it may do, and `location_id` is its location, the first by default. `app` is whose requests it counts
        with under `Limits(per_app=True)`: `pit` for a Private Integration Token, or else `client_id`.
        """
        app = app or (PIT_APP if kind == "pit" else self.client_id)
        owner_id, known = self._find_owner(user_type, location_id), ALL_SCOPES + _OF_USER_TYPE[user_type]
        return self._app.tokens.issue(kind, owner_id, known if scopes is None else scopes, user_type, app=app)

    def _find_owner(self, user_type: UserType, location_id: str | None) -> str:
        return self.company_id if user_type == "Company" else location_id or self.location_id

    @property
    def client_id(self) -> str:
        """The id of the marketplace app that may request tokens."""
        return self._app.token_endpoint.client_id

    @property
    def client_secret(self) -> str:
        """The secret of the same app."""
        return self._app.token_endpoint.client_secret

    @property
    def authorize_at(self) -> str:
        """The page at which a user connects the app, for `OAuthApp(authorize_at=…)`.

        It sends the user back at once, as one who has chosen `location_id`. Add `?location_id=…` for another one,
        or `?user_type=Company` for the agency. `redirect_uri` is on loopback or in `TokenRules.redirect_uris`.
        """
        return f"{self.url}/v2/oauth/chooselocation"

    @property
    def app_id(self) -> str:
        """The id of the same app in the marketplace: the first part of `client_id`."""
        return self._app.token_endpoint.installs.app_id

    @property
    def company_id(self) -> str:
        """The agency that the locations belong to."""
        return self._app.token_endpoint.installs.company_id

    @property
    def token_rules(self) -> TokenRules:
        """How the token endpoints behave; can be set while it runs."""
        return self._app.token_endpoint.rules

    @token_rules.setter
    def token_rules(self, rules: TokenRules) -> None:
        self._app.token_endpoint.rules = rules

    def issue_code(
        self,
        *,
        scopes: Iterable[str] | None = None,
        location_id: str | None = None,
        user_type: UserType = "Location",
    ) -> str:
        """Connect the app as a user would; returns the code.

        `location_id` is the location that is connected, the first by default. `user_type="Company"` connects the
        agency and installs the app in all of its locations. Without `scopes`, those of events are granted, and
        those of an agency's tokens.
        """
        owner_id, granted = self._find_owner(user_type, location_id), (READ, WRITE) + _OF_USER_TYPE[user_type]
        self._touch()
        now = self.store.now or SEED_DAY
        return self._app.token_endpoint.issue_code(owner_id, granted if scopes is None else scopes, user_type, now)

    def disconnect(self, owner_id: str | None = None) -> None:
        """Remove the app as a user would: the refresh tokens of the location, or agency, stop working.

        Without `owner_id`, from `location_id`. An agency removes it from all of its locations.
        """
        self._app.token_endpoint.revoke(owner_id or self.location_id)

    def expire_token(self, token: str) -> None:
        """Let the access token `token` expire. Raises `KeyError` for an unknown one."""
        self._app.tokens.expire(token)

    def contact(self, contact_id: str) -> Contact:
        """The current state of the contact `contact_id`. Raises `KeyError` for an unknown one."""
        return get_contact(self.store, contact_id)

    def edit_contact(self, contact_id: str, **changes: object) -> None:
        """Change the contact `contact_id`: `changes` are fields of `Contact`, unchecked.

        Raises `KeyError` if unknown.
        """
        edit_contact(self.store, contact_id, changes)

    def appointment(self, event_id: str) -> BookedAppointment:
        """The current state of an appointment or instance, by its `event_id`.

        Raises `KeyError` for an unknown one.
        """
        return self.store.get(event_id)

    def edit_appointment(self, event_id: str, **changes: object) -> None:
        """Change an appointment as somebody else would, by the names of `BookedAppointment`, unchecked.

        `event_id` is the id of the event, and `changes` are its new values. Times must be aware. Raises `KeyError`
        for an unknown appointment, `ValueError` for a naive time.
        """
        self._touch()
        self.store.edit(event_id, changes)

    def delete_appointment(self, event_id: str) -> None:
        """Delete the appointment `event_id` as somebody else would."""
        self.edit_appointment(event_id, deleted=True)


def _build_tokens(seed: int, rules: TokenRules, store: Store) -> tuple[TokenRegistry, TokenEndpoint]:
    tokens = TokenRegistry(seed)
    return tokens, TokenEndpoint(seed, tokens, build_id(seed, "company", 0), rules, store.locations)


def _build_store(seed: int, appointments: int, locations: int, *, varied: bool) -> Store:
    store = build_store(seed, appointments, locations)
    if varied:
        Calendars(store, seed).add_varied()
    return store


def _check_sizes(**sizes: object) -> None:
    for name, value in sizes.items():
        check_number(name, value, _LEAST[name])


def _check_parts(
    limits: object, quirks: object, token_rules: object, faults: object, *, strict: object, varied: object
) -> None:
    check_kind("limits", limits, Limits)
    check_kind("quirks", quirks, Quirks)
    check_kind("token_rules", token_rules, TokenRules)
    check_faults(faults)
    check_switch("strict", strict)
    check_switch("varied", varied)
