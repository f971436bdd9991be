"""The sandbox sends signed webhooks: about every change, and whatever it is asked to send."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from leadconnector_async import (
    AppointmentCreate,
    AppointmentUpdate,
    BlockSlotCreate,
    ConfigurationError,
    InvalidRequestError,
    LeadConnector,
    StaleWebhookError,
    WebhookSignatureError,
)
from leadconnector_async.sandbox import Sandbox, WebhookRules
from leadconnector_async.sandbox.webhooks import Webhooks
from leadconnector_async.webhooks import WebhookVerifier

from .receiver import Receiver, serve_receiver

HEADERS = {"X-Sandbox-Admin": "any"}
TYPES = ["AppointmentCreate", "AppointmentUpdate", "AppointmentDelete"]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with serve_receiver() as receiver:
        yield receiver


async def settle(sandbox: Sandbox, receiver: Receiver) -> list[str]:
    """The types of all events, once they are delivered."""
    await sandbox.webhooks.wait_delivered()
    return [event.type for event in receiver.verify(sandbox.webhook_key)]


async def test_every_change_is_sent_and_signed(sandbox: Sandbox, client: LeadConnector, receiver: Receiver) -> None:
    """A create, an update and a delete by the API, and edits by hand; each with the appointment as it was then."""
    sandbox.webhooks.subscribe(receiver.url)
    event = sandbox.appointment(sandbox.appointment_ids[0])
    await client.update_appointment(event.id, AppointmentUpdate(title="moved"))
    sandbox.edit_appointment(event.id, title="by hand")
    await client.delete_event(event.id)
    assert await settle(sandbox, receiver) == [TYPES[1], TYPES[1], TYPES[2]]
    events = receiver.verify(sandbox.webhook_key)
    appointments = [one.appointment for one in events if one.appointment is not None]
    assert [(one.id, one.title) for one in appointments] == [
        (event.id, "moved"),
        (event.id, "by hand"),
        (event.id, "by hand"),
    ]
    assert all(one.start_time == event.start_time and one.calendar_id == event.calendar_id for one in appointments)
    assert {one.location_id for one in events} == {sandbox.location_id}
    assert len({one.webhook_id for one in events}) == 3
    assert not any(one.unread for one in events)


async def test_a_new_appointment_is_sent_as_one(
    sandbox: Sandbox, client: LeadConnector, receiver: Receiver
) -> None:
    """But not a block slot. A change of one instance of a series is an update."""
    sandbox.webhooks.subscribe(receiver.url)
    known = sandbox.appointment(sandbox.appointment_ids[0])
    slot = datetime(2027, 5, 3, 14, tzinfo=UTC)
    created = await client.create_appointment(
        AppointmentCreate(calendar_id=known.calendar_id, contact_id=known.contact_id, start_time=slot)
    )
    await client.create_block_slot(
        BlockSlotCreate(
            assigned_user_id=known.assigned_user_id, start_time=slot, end_time=slot + timedelta(hours=1), title="x"
        )
    )
    master = sandbox.appointment(sandbox.series_ids[0])
    listed = sandbox.store.list_between(master.location_id, master.start_time, master.end_time)
    instance = next(one for one in listed if one.master_event_id == master.id)
    sandbox.edit_appointment(instance.id, title="this one")
    assert await settle(sandbox, receiver) == [TYPES[0], TYPES[1]]
    first, second = (one.appointment for one in receiver.verify(sandbox.webhook_key))
    assert first is not None
    assert second is not None
    assert (first.id, second.id) == (created.id, instance.id)


async def test_nobody_gets_anything_before_somebody_subscribes(sandbox: Sandbox, receiver: Receiver) -> None:
    """Nor after unsubscribing; `reset` keeps the subscribers, and a restored state is not a change."""
    event_id, before = sandbox.appointment_ids[0], sandbox.snapshot()
    sandbox.edit_appointment(event_id, title="unseen")
    sandbox.webhooks.subscribe(receiver.url)
    sandbox.restore(before)
    sandbox.reset()
    sandbox.edit_appointment(event_id, title="seen")
    assert await settle(sandbox, receiver) == [TYPES[1]]
    sandbox.restore(before)
    sandbox.edit_appointment(event_id, title="seen, too")
    assert await settle(sandbox, receiver) == [TYPES[1]] * 2
    sandbox.webhooks.unsubscribe(receiver.url)
    sandbox.edit_appointment(event_id, title="unseen")
    assert await settle(sandbox, receiver) == [TYPES[1]] * 2


async def test_what_is_not_acknowledged_is_sent_again(sandbox: Sandbox, receiver: Receiver) -> None:
    """The same bytes and signature, as long as there is no 2xx; later events do not wait. A redirect is none."""
    receiver.statuses = [500, 302, 200, 404]
    sandbox.webhooks.subscribe(receiver.url, WebhookRules(interval=0.05))
    for title in ("one", "two"):
        sandbox.edit_appointment(sandbox.appointment_ids[0], title=title)
    await sandbox.webhooks.wait_delivered()
    titles = [json.loads(body)["appointment"]["title"] for body in receiver.bodies]
    assert sorted(titles) in (["one", "one", "one", "two", "two"], ["one", "one", "two", "two", "two"])
    assert titles[:2] == ["one", "two"]
    assert len(set(receiver.bodies)) == 2
    assert sorted(one.status or 0 for one in sandbox.webhooks.deliveries) == [200, 200, 302, 404, 500]
    assert max(one.attempt for one in sandbox.webhooks.deliveries) == 3


async def test_redelivery_ends(sandbox: Sandbox, receiver: Receiver) -> None:
    """After as many attempts as the rules say; a receiver that is down is one more reason."""
    receiver.statuses = [503] * 9
    sandbox.webhooks.subscribe(receiver.url, WebhookRules(interval=0.001, retries=3))
    sandbox.webhooks.subscribe("http://127.0.0.1:9/", WebhookRules(interval=0.001, retries=1))
    sandbox.edit_appointment(sandbox.appointment_ids[0], title="x")
    await sandbox.webhooks.wait_delivered()
    assert len(receiver.got) == 4
    down = [one for one in sandbox.webhooks.deliveries if one.url != receiver.url]
    assert [(one.attempt, one.status) for one in down] == [(1, None), (2, None)]


async def test_repeats_come_on_demand(sandbox: Sandbox, receiver: Receiver) -> None:
    """At least once means: sometimes more often, though it was acknowledged."""
    sandbox.webhooks.subscribe(receiver.url, WebhookRules(repeats=2))
    sandbox.edit_appointment(sandbox.appointment_ids[0], title="x")
    await settle(sandbox, receiver)
    assert receiver.bodies == receiver.bodies[:1] * 3


async def test_a_later_event_overtakes_on_demand(sandbox: Sandbox, receiver: Receiver) -> None:
    """Every second one comes before the one that precedes it; the last of an odd number still arrives."""
    sandbox.webhooks.subscribe(receiver.url, WebhookRules(out_of_order=True, delay=0.01))
    for number in range(5):
        sandbox.edit_appointment(sandbox.appointment_ids[0], title=str(number))
    await sandbox.webhooks.wait_delivered()
    appointments = [json.loads(body)["appointment"] for body in receiver.bodies]
    assert [one["title"] for one in appointments] == ["1", "0", "3", "2", "4"]
    assert sorted(one["dateUpdated"] for one in appointments) == [
        one["dateUpdated"] for one in sorted(appointments, key=lambda one: str(one["title"]))
    ]


async def test_changes_and_webhooks_are_stamped_by_the_moving_clock(sandbox: Sandbox, receiver: Receiver) -> None:
    """Edits without a request as well. A receiver without the sandbox's time takes what was not set forward."""
    sandbox.webhooks.subscribe(receiver.url)
    event_id = sandbox.appointment_ids[0]
    for title in ("a", "b"):
        sandbox.edit_appointment(event_id, title=title)
        sandbox.advance(3600)
    await sandbox.webhooks.wait_delivered()
    first, second = (json.loads(body) for body in receiver.bodies)
    stamps = [datetime.fromisoformat(one["appointment"]["dateUpdated"]) for one in (first, second)]
    assert timedelta(hours=1) <= stamps[1] - stamps[0] < timedelta(hours=1, minutes=5)
    sent = [datetime.fromisoformat(one["timestamp"]) for one in (first, second)]
    assert timedelta(minutes=55) < sent[1] - sent[0] < timedelta(hours=1, minutes=5)
    assert WebhookVerifier(sandbox.webhook_key).verify(*receiver.got[0])
    with pytest.raises(StaleWebhookError, match="future"):
        WebhookVerifier(sandbox.webhook_key).verify(*receiver.got[1])
    ahead = WebhookVerifier(sandbox.webhook_key, clock=sandbox.time, max_age_seconds=4000)
    assert ahead.verify(*receiver.got[1])
    with pytest.raises(StaleWebhookError, match="7200 seconds old"):
        ahead.verify(*receiver.got[0])


async def test_any_event_can_be_sent(sandbox: Sandbox, receiver: Receiver) -> None:
    """`INSTALL` and `UNINSTALL` name the app and the location; other fields are the caller's."""
    receiver.statuses = [200, 202, 401]
    assert await sandbox.send_webhook(receiver.url, "INSTALL") == 200
    assert await sandbox.send_webhook(receiver.url, "UNINSTALL", location_id="loc2") == 202
    assert await sandbox.send_webhook(receiver.url, "ContactCreate", {"firstName": "Ada"}) == 401
    events = receiver.verify(sandbox.webhook_key)
    assert [(one.type, one.location_id) for one in events] == [
        ("INSTALL", sandbox.location_id),
        ("UNINSTALL", "loc2"),
        ("ContactCreate", sandbox.location_id),
    ]
    bodies = [json.loads(body) for body in receiver.bodies]
    assert {one["appId"] for one in bodies} == {sandbox.app_id}
    assert bodies[0]["installType"] == "Location"
    assert bodies[2]["firstName"] == "Ada"


async def test_an_appointment_is_sent_as_it_is(sandbox: Sandbox, receiver: Receiver) -> None:
    """The first unless one is named; an unknown one is a `KeyError`."""
    first, second = sandbox.appointment_ids[:2]
    await sandbox.send_webhook(receiver.url)
    await sandbox.send_webhook(receiver.url, "AppointmentDelete", event_id=second)
    appointments = [one.appointment for one in receiver.verify(sandbox.webhook_key)]
    assert [one.id for one in appointments if one is not None] == [first, second]
    with pytest.raises(KeyError):
        await sandbox.send_webhook(receiver.url, event_id="nowhere")


async def test_valid_repeated_stale_and_altered_can_be_told_apart(sandbox: Sandbox, receiver: Receiver) -> None:
    """Without any key but the sandbox's."""
    verifier = WebhookVerifier(sandbox.webhook_key)
    webhook = sandbox.make_webhook()
    assert verifier.verify(webhook.body, webhook.headers).webhook_id == webhook.webhook_id
    assert sandbox.make_webhook().webhook_id != webhook.webhook_id
    for _ in range(2):
        await sandbox.send_webhook(receiver.url, webhook)
    assert receiver.bodies == [webhook.body] * 2
    stale, altered = sandbox.make_webhook(age=301), webhook.alter()
    with pytest.raises(StaleWebhookError, match="301 seconds old"):
        verifier.verify(stale.body, stale.headers)
    with pytest.raises(WebhookSignatureError, match="does not match"):
        verifier.verify(altered.body, altered.headers)
    async with Sandbox(seed=2) as other:
        foreign = other.make_webhook()
        with pytest.raises(WebhookSignatureError):
            verifier.verify(foreign.body, foreign.headers)


async def test_the_key_comes_from_the_seed() -> None:
    """The same in every run; the ids of webhooks are not."""
    assert Sandbox(seed=5).webhook_key == Sandbox(seed=5).webhook_key != Sandbox(seed=6).webhook_key
    assert Sandbox(seed=5).make_webhook().webhook_id != Sandbox(seed=5).make_webhook().webhook_id


FOREIGN = [
    "http://example.com/",
    "http://10.0.0.1/",
    "http://0.0.0.0/",
    "http://127.0.0.1@example.com/",
    "http://127.0.0.1.example.com/",
    "http://localhost.example.com/",
    "http://[::ffff:10.0.0.1]/",
    "http://169.254.169.254/latest",
    "ftp://127.0.0.1/",
    "file:///etc/passwd",
    "/webhooks",
    "",
    "http://[::1",
    None,
]


@pytest.mark.parametrize("url", FOREIGN)
async def test_webhooks_are_posted_to_loopback_only(sandbox: Sandbox, url: Any) -> None:
    """To subscribers, once, and from the constructor alike."""
    with pytest.raises(InvalidRequestError, match="url is"):
        await sandbox.send_webhook(url, "INSTALL")
    with pytest.raises(InvalidRequestError, match="url is"):
        sandbox.webhooks.subscribe(url)
    if url is not None:
        with pytest.raises(InvalidRequestError, match="url is"):
            Sandbox(webhook_url=url)


def test_other_hosts_can_be_allowed() -> None:
    """By their exact names; nothing else becomes one."""
    webhooks = Webhooks(["app", "10.1.2.3"])
    for url in ("http://app:8000/hooks", "https://10.1.2.3/", "http://localhost:1/", "http://[::1]:1/"):
        webhooks.subscribe(url)
    for url in ("http://other/", "http://app.example.com/", "http://10.1.2.4/"):
        with pytest.raises(InvalidRequestError, match="webhook_hosts"):
            webhooks.subscribe(url)
    for hosts in ("app", ["http://app"], ["app:8000"], ["App"], [""], [None], 5):
        with pytest.raises(InvalidRequestError, match="webhook_hosts"):
            Webhooks(hosts)  # type: ignore[arg-type]


async def test_too_many_waiting_events_are_dropped_and_counted(
    sandbox: Sandbox, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits is bounded, and so is the list of deliveries."""
    monkeypatch.setattr("leadconnector_async.sandbox.webhooks._MOST_WAITING", 5)
    sandbox.webhooks.subscribe(receiver.url)
    for number in range(8):
        sandbox.edit_appointment(sandbox.appointment_ids[0], title=str(number))
    assert sandbox.webhooks.dropped > 0
    await sandbox.webhooks.wait_delivered()
    assert len(receiver.got) == 8 - sandbox.webhooks.dropped


async def test_stopping_ends_all_deliveries(receiver: Receiver) -> None:
    """Those that wait for their next attempt, too; afterwards nothing can be sent."""
    receiver.statuses = [500] * 3
    async with Sandbox(appointments=1, webhook_url=receiver.url) as sandbox:
        sandbox.edit_appointment(sandbox.appointment_ids[0], title="x")
        sandbox.webhooks.subscribe("http://127.0.0.1:9/", WebhookRules(delay=3600))
        sandbox.edit_appointment(sandbox.appointment_ids[0], title="y")
    with pytest.raises(ConnectionError, match="not running"):
        await sandbox.send_webhook(receiver.url)


async def test_a_receiver_that_is_down_is_named(sandbox: Sandbox) -> None:
    """By an error that is nobody else's."""
    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1:9/hooks did not respond"):
        await sandbox.send_webhook("http://127.0.0.1:9/hooks")


async def test_other_processes_can_do_it_too(sandbox: Sandbox, receiver: Receiver) -> None:
    """By the admin routes: subscribe with rules, send anything, list deliveries, unsubscribe."""
    async with aiohttp.ClientSession() as session:

        async def ask(method: str, name: str, body: object = None) -> tuple[int, Any]:
            data = None if body is None else json.dumps(body)
            async with session.request(
                method, f"{sandbox.url}/_sandbox/{name}", data=data, headers=HEADERS
            ) as response:
                return response.status, await response.json()

        assert await ask("POST", "webhooks", {"url": receiver.url, "rules": {"repeats": 1}}) == (
            200,
            {"subscribed": receiver.url},
        )
        await ask("POST", "appointments", {"event_id": sandbox.appointment_ids[0], "changes": {"title": "x"}})
        await sandbox.webhooks.wait_delivered()
        status, sent = await ask("POST", "webhooks/send", {"url": receiver.url, "type": "INSTALL"})
        await sandbox.webhooks.wait_delivered()
        _, shown = await ask("GET", "webhooks")
        assert [one["type"] for one in shown["deliveries"]] == [TYPES[1], TYPES[1], "INSTALL"]
        assert (shown["key"], shown["deliveries"][2]["webhook_id"]) == (sandbox.webhook_key, sent["webhook_id"])
        await ask("POST", "webhooks/remove", {"url": receiver.url})
        await ask("POST", "appointments", {"event_id": sandbox.appointment_ids[0], "changes": {"title": "y"}})
        await ask("POST", "webhooks/send", {"url": receiver.url, "altered": True, "age": 5})
        await sandbox.webhooks.wait_delivered()
        assert len(receiver.got) == 4
        with pytest.raises(WebhookSignatureError):
            receiver.verify(sandbox.webhook_key)
        status, refused = await ask("POST", "webhooks", {"url": "http://example.com/"})
        assert (status, "loopback only" in refused["error"]) == (400, True)
        status, refused = await ask("POST", "webhooks/send", {"url": receiver.url, "event_id": "nowhere"})
        assert (status, refused) == (400, {"error": "unknown: nowhere"})


def test_cryptography_is_needed_only_to_sign() -> None:
    """The sandbox starts and serves without it; what needs it names the extra."""
    code = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from leadconnector_async.sandbox import Sandbox\n"
        "try: Sandbox().webhook_key\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout  # noqa: S603
    assert shown.startswith(ConfigurationError.__name__)
    assert "pip install 'leadconnector-async[testing]'" in shown


BAD: list[dict[str, Any]] = [
    {"event_type": None},
    {"event_type": "INSTALL", "fields": [1]},
    {"event_type": "INSTALL", "fields": {"x": len}},
    {"age": -1},
    {"age": float("nan")},
    {"event_id": 5},
    {"webhook_id": b"x"},
]


@pytest.mark.parametrize("options", BAD, ids=str)
def test_a_webhook_that_cannot_be_made_is_refused(options: dict[str, Any]) -> None:
    """Each option by name and value; so is one without any appointment."""
    with pytest.raises(InvalidRequestError, match=f"{list(options)[-1]} is"):
        Sandbox(appointments=1).make_webhook(**options)
    with pytest.raises(InvalidRequestError, match="event_id is None; the sandbox has no appointments"):
        Sandbox(appointments=0).make_webhook()


WRONG: list[dict[str, Any]] = [
    {"repeats": -1},
    {"repeats": 1.5},
    {"delay": -1},
    {"delay": float("nan")},
    {"out_of_order": 1},
    {"retries": 1000},
    {"interval": 0},
]


@pytest.mark.parametrize("rules", WRONG)
def test_rules_are_checked(rules: dict[str, Any]) -> None:
    """By name and value."""
    with pytest.raises(InvalidRequestError, match=f"{next(iter(rules))} is"):
        WebhookRules(**rules)
    with pytest.raises(InvalidRequestError, match="rules is"):
        Webhooks().subscribe("http://127.0.0.1/", rules)  # type: ignore[arg-type]
