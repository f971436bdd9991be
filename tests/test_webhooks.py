"""Webhooks: what is believed, what is refused, and what is read."""

import base64
import json
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from leadconnector_async import (
    Appointment,
    ConfigurationError,
    StaleWebhookError,
    UnreadableWebhookError,
    WebhookError,
    WebhookSignatureError,
)
from leadconnector_async._api.appointments import read_appointment
from leadconnector_async.webhooks import WebhookEvent, WebhookVerifier

from .test_secrets import show

NOW = datetime(2026, 9, 10, 8, 30, 5, tzinfo=UTC)
SAMPLE = next(
    sample["body"]
    for sample in json.loads((Path(__file__).parent / "samples/answers.json").read_text())
    if sample["name"] == "webhook_appointment_update"
)
NEW, OLD = "X-GHL-Signature", "X-WH-Signature"

new_key = cache(Ed25519PrivateKey.generate)
other_new_key = Ed25519PrivateKey.generate


@cache
def old_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def pem(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def text(signature: bytes) -> str:
    return base64.b64encode(signature).decode()


def sign(body: bytes, key: Ed25519PrivateKey | None = None) -> str:
    return text((key or new_key()).sign(body))


def sign_old(body: bytes) -> str:
    return text(old_key().sign(body, padding.PKCS1v15(), SHA256()))


def make_verifier(*, old: bool = True, **options: object) -> WebhookVerifier:
    settings = {"clock": NOW.timestamp, **options}
    rsa_key = pem(old_key().public_key()) if old else None
    return WebhookVerifier(pem(new_key().public_key()), rsa_key, **settings)  # type: ignore[arg-type]


def encode(**changes: object) -> bytes:
    """The sample as the guide's examples have it: with a time and an id; a change to `...` leaves a field out."""
    fields = {**SAMPLE, "timestamp": NOW.isoformat(), "webhookId": "wh-1", **changes}
    return json.dumps({name: value for name, value in fields.items() if value is not ...}).encode()


def verify(body: bytes, **options: object) -> WebhookEvent:
    return make_verifier(**options).verify(body, {NEW: sign(body)})  # type: ignore[arg-type]


BODY = encode()


# Signatures


@pytest.mark.parametrize("name", [NEW, NEW.lower(), NEW.upper()])
def test_a_good_signature_is_believed(name: str) -> None:
    """Whatever the case of the header's name."""
    assert make_verifier(old=False).verify(BODY, {"Host": "x", name: sign(BODY)}).webhook_id == "wh-1"


@pytest.mark.parametrize(
    "headers",
    [
        {NEW: None},
        {NEW: None, OLD: None},
        {NEW: 5},
        {NEW: [sign(BODY)]},
        {NEW: "\ud800"},
        {NEW: "x" * 1_000_000},
        {NEW: b"\xff\x00"},
        {None: None, 5: "x"},
        {},
        None,
        5,
        "x-ghl-signature",
        [(NEW, sign(BODY))],
    ],
    ids=lambda headers: type(headers).__name__,
)
def test_headers_of_any_shape_are_refused_and_never_a_500(headers: object) -> None:
    """Anybody can leave the header out, and `{name: request.headers.get(name)}` then holds `None`."""
    with pytest.raises(WebhookSignatureError) as caught:
        make_verifier().verify(BODY, headers)  # type: ignore[arg-type]
    assert len(str(caught.value)) < 400


def test_headers_as_bytes_are_read() -> None:
    """As ASGI servers have them; one of `None` beside a good one did not come."""
    headers: dict[object, object] = {b"host": b"x", NEW.encode(): sign(BODY).encode(), OLD: None}
    assert make_verifier().verify(BODY, headers).webhook_id == "wh-1"  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [{"clock": None}, {"clock": lambda: None}, {"require_timestamp": "no"}])
@pytest.mark.parametrize("number", [None, "300", True, float("nan"), 0, -1])
def test_settings_of_a_verifier_that_cannot_work_are_our_error(wrong: dict[str, object], number: object) -> None:
    """When it is made, or when the clock is first asked."""
    with pytest.raises(ConfigurationError):
        verify(BODY, **wrong)
    with pytest.raises(ConfigurationError, match="max_age_seconds"):
        make_verifier(max_age_seconds=number)


@pytest.mark.parametrize("name", [OLD, OLD.lower(), OLD.upper()])
def test_the_older_signature_is_believed_where_a_key_was_given(name: str) -> None:
    """RSA with PKCS#1 v1.5 and SHA-256, in whatever case."""
    assert make_verifier().verify(BODY, {name: sign_old(BODY)}).webhook_id == "wh-1"


def test_headers_of_a_web_framework_will_do() -> None:
    """What aiohttp hands to a handler is a mapping too."""
    headers = CIMultiDictProxy(CIMultiDict({NEW: sign(BODY), "Host": "x"}))
    assert make_verifier().verify(BODY, headers).type == "AppointmentUpdate"


def test_keys_may_be_text_or_bytes() -> None:
    """As a file or an environment variable holds them."""
    verifier = WebhookVerifier(
        pem(new_key().public_key()).decode(), pem(old_key().public_key()).decode(), clock=NOW.timestamp
    )
    assert verifier.verify(BODY, {NEW: sign(BODY)}) == verifier.verify(BODY, {OLD: sign_old(BODY)})


@pytest.mark.parametrize(
    "headers",
    [{}, {"X-Signature": sign(BODY)}, {"Authorization": sign_old(BODY)}],
    ids=["none", "another name", "another header"],
)
def test_without_a_signature_nothing_is_believed(headers: Mapping[str, str]) -> None:
    """The error names the header that is missing."""
    with pytest.raises(WebhookSignatureError, match="no x-ghl-signature header"):
        make_verifier().verify(BODY, headers)


def test_the_older_signature_is_refused_where_no_key_was_given() -> None:
    """A good one too: who does not ask for the older scheme does not get it."""
    with pytest.raises(WebhookSignatureError, match="rsa_key="):
        make_verifier(old=False).verify(BODY, {OLD: sign_old(BODY)})


def test_of_two_good_signatures_the_newer_one_is_looked_at() -> None:
    """While the vendor sends both, nothing changes."""
    assert make_verifier().verify(BODY, {OLD: "nonsense", NEW: sign(BODY)}).webhook_id == "wh-1"


@pytest.mark.parametrize("wrong", ["", "N/A", sign(b"another body"), sign_old(BODY)], ids=range(4))
def test_a_wrong_newer_signature_is_not_made_good_by_an_older_one(wrong: str) -> None:
    """No downgrade: the newer header decides as soon as it is there."""
    with pytest.raises(WebhookSignatureError, match="x-ghl-signature"):
        make_verifier().verify(BODY, {NEW: wrong, OLD: sign_old(BODY)})


def test_the_key_of_somebody_else_is_not_ours() -> None:
    """Signed well, by the wrong one."""
    with pytest.raises(WebhookSignatureError, match="does not match the body"):
        make_verifier().verify(BODY, {NEW: sign(BODY, other_new_key())})


@pytest.mark.parametrize(
    "signature",
    [
        lambda: old_key().sign(BODY, padding.PSS(padding.MGF1(SHA256()), 32), SHA256()),
        lambda: old_key().sign(BODY, padding.PKCS1v15(), SHA1()),  # noqa: S303 - to be refused
        lambda: rsa.generate_private_key(65537, 2048).sign(BODY, padding.PKCS1v15(), SHA256()),
        lambda: new_key().sign(BODY),
    ],
    ids=["PSS", "SHA-1", "another key", "Ed25519"],
)
def test_the_older_header_takes_one_kind_of_signature_only(signature: object) -> None:
    """Not another padding, hash, key or scheme."""
    assert callable(signature)
    with pytest.raises(WebhookSignatureError, match="does not match the body"):
        make_verifier().verify(BODY, {OLD: text(signature())})


@pytest.mark.parametrize(
    "wrong", ["", "N/A", "%%%", "é", "\ud800", sign(BODY)[:-1], sign(BODY) + "\n", "A", " "], ids=range(9)
)
@pytest.mark.parametrize("name", [NEW, OLD])
def test_a_header_that_is_no_base64_is_refused(name: str, wrong: str) -> None:
    """With our error, whatever stands in it."""
    with pytest.raises(WebhookSignatureError, match=r"not valid base64|does not match"):
        make_verifier().verify(BODY, {name: wrong})


flips = st.tuples(st.integers(0, 10_000), st.integers(0, 7))


def flip(content: bytes, place: tuple[int, int]) -> bytes:
    index, bit = place[0] % len(content), place[1]
    return content[:index] + bytes([content[index] ^ (1 << bit)]) + content[index + 1 :]


@given(flips, st.sampled_from([(NEW, sign), (OLD, sign_old)]))
def test_a_bit_flipped_anywhere_in_the_body_is_noticed(place: tuple[int, int], scheme: tuple[str, object]) -> None:
    """Under both schemes."""
    name, signer = scheme
    assert callable(signer)
    with pytest.raises(WebhookSignatureError):
        make_verifier().verify(flip(BODY, place), {name: signer(BODY)})


@given(flips, st.booleans(), st.sampled_from([(NEW, sign), (OLD, sign_old)]))
def test_a_bit_flipped_anywhere_in_the_signature_is_noticed(
    place: tuple[int, int], in_text: bool, scheme: tuple[str, object]
) -> None:
    """In its bytes, and in its text: no signature has a second spelling."""
    name, signer = scheme
    assert callable(signer)
    good: str = signer(BODY)
    bad = flip(good.encode(), place).decode("latin-1") if in_text else text(flip(base64.b64decode(good), place))
    with pytest.raises(WebhookSignatureError):
        make_verifier().verify(BODY, {name: bad})


@pytest.mark.parametrize(("name", "good"), [(NEW, sign(BODY)), (OLD, sign_old(BODY))], ids=["newer", "older"])
def test_a_signature_has_one_spelling(name: str, good: str) -> None:
    """The bits that its last letter has to spare must be as an encoder leaves them."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    assert good.endswith("==")
    other = good[:-3] + letters[letters.index(good[-3]) + 1] + "=="
    assert base64.b64decode(other) == base64.b64decode(good)
    with pytest.raises(WebhookSignatureError, match="not valid base64"):
        make_verifier().verify(BODY, {name: other})


@given(st.binary(max_size=300), st.text(max_size=100) | st.binary(max_size=300).map(text))
def test_nobody_without_the_key_gets_in(body: bytes, signature: str) -> None:
    """Whatever body and header: one of our errors, and no other."""
    for name in (NEW, OLD):
        with pytest.raises(WebhookSignatureError):
            make_verifier().verify(body, {name: signature})


@pytest.mark.parametrize("body", [BODY.decode(), json.loads(BODY), None, bytearray(BODY)])
def test_a_body_that_is_not_as_it_came_is_refused(body: object) -> None:
    """Text or decoded JSON is not what was signed; the error says what to pass."""
    with pytest.raises(WebhookSignatureError, match="pass the raw bytes"):
        make_verifier().verify(body, {NEW: sign(BODY)})  # type: ignore[arg-type]


# Settings

NO_KEYS = ["", "a key", b"\xff", None, 7, "\ud800", pem(generate_private_key(SECP256R1()).public_key())]


@pytest.mark.parametrize("key", NO_KEYS)
def test_a_key_that_is_none_is_refused_when_the_verifier_is_made(key: object) -> None:
    """Not when the first event comes; the error names the setting."""
    with pytest.raises(ConfigurationError, match="ed25519_key is not an Ed25519 public key"):
        WebhookVerifier(key)  # type: ignore[arg-type]
    if key is not None:
        with pytest.raises(ConfigurationError, match="rsa_key is not an RSA public key"):
            WebhookVerifier(pem(new_key().public_key()), key)  # type: ignore[arg-type]


def test_keys_that_were_swapped_are_noticed() -> None:
    """Each must be of its own kind."""
    with pytest.raises(ConfigurationError, match="ed25519_key"):
        WebhookVerifier(pem(old_key().public_key()))
    with pytest.raises(ConfigurationError, match="rsa_key"):
        WebhookVerifier(pem(new_key().public_key()), pem(new_key().public_key()))


@pytest.mark.parametrize("age", [0, -1, float("nan"), "300", None])
def test_an_age_that_cannot_work_is_refused(age: object) -> None:
    """It must be a number above 0."""
    with pytest.raises(ConfigurationError, match="max_age_seconds"):
        make_verifier(max_age_seconds=age)


# Time


@pytest.mark.parametrize("seconds", [-60, 0, 1, 300])
def test_a_recent_event_is_taken(seconds: int) -> None:
    """To the very bound, and up to a minute ahead of our clock."""
    then = NOW - timedelta(seconds=seconds)
    assert verify(encode(timestamp=then.isoformat())).timestamp == then


@pytest.mark.parametrize("form", ["2026-09-10T08:30:02.884Z", "2026-09-10T01:30:02-07:00"])
def test_a_time_is_an_instant_in_whatever_offset(form: str) -> None:
    """With the fractions and the Z of the vendor's examples too."""
    assert verify(encode(timestamp=form)).timestamp == datetime.fromisoformat(form)


@pytest.mark.parametrize("then", [NOW - timedelta(seconds=301), datetime(1, 1, 1, tzinfo=UTC)])
def test_an_old_event_is_refused(then: datetime) -> None:
    """However good its signature: it may be a copy."""
    with pytest.raises(StaleWebhookError, match="seconds old, and max_age_seconds is 300"):
        verify(encode(timestamp=then.isoformat()))


@pytest.mark.parametrize("then", [NOW + timedelta(seconds=61), datetime(9999, 12, 31, tzinfo=UTC)])
def test_an_event_from_the_future_is_refused(then: datetime) -> None:
    """Or it would stay good for longer than it should."""
    with pytest.raises(StaleWebhookError, match="in the future"):
        verify(encode(timestamp=then.isoformat()))


def test_the_bound_is_the_users() -> None:
    """Hours, or none, for who keeps a record of what was acted on."""
    day_old = encode(timestamp=(NOW - timedelta(days=1)).isoformat())
    assert verify(day_old, max_age_seconds=90_000).webhook_id == "wh-1"
    assert verify(day_old, max_age_seconds=float("inf")).webhook_id == "wh-1"


@pytest.mark.parametrize("timestamp", [..., None, "", "yesterday", "2026-09-10T08:30:02", 1789029002, {}])
def test_an_event_without_a_time_is_refused_unless_asked_for(timestamp: object) -> None:
    """Missing, unreadable or without an offset: a copy would be good for ever."""
    body = encode(timestamp=timestamp)
    with pytest.raises(StaleWebhookError, match="require_timestamp=False"):
        verify(body)
    event = verify(body, require_timestamp=False)
    assert event.timestamp is None
    assert event.unread == (() if timestamp in (..., None) else ("timestamp",))


def test_a_time_that_is_there_counts_even_if_none_is_asked_for() -> None:
    """`require_timestamp=False` lets nothing old pass."""
    with pytest.raises(StaleWebhookError):
        verify(encode(timestamp="2020-01-01T00:00:00Z"), require_timestamp=False)


def test_the_clock_is_the_machines_by_default() -> None:
    """An event of this moment is taken without one."""
    body = encode(timestamp=datetime.now(UTC).isoformat())
    assert WebhookVerifier(pem(new_key().public_key())).verify(body, {NEW: sign(body)}).webhook_id == "wh-1"


# What is read


def test_the_sample_is_read_as_the_clients_answers_are() -> None:
    """As the vendor's reference has it, without time and id: the same Struct, with the same fields."""
    event = verify(json.dumps(SAMPLE).encode(), require_timestamp=False)
    answer = read_appointment("x", json.dumps(SAMPLE["appointment"]).encode()).value
    assert event == WebhookEvent(type="AppointmentUpdate", location_id="Qm7TzKx2LrVb9cNw4HyP", appointment=answer)
    assert answer.appointment_status == "cancelled"
    assert answer.start_time == datetime.fromisoformat("2026-09-14T09:00:00-07:00")


INNER = SAMPLE["appointment"]
PLACES: dict[str, dict[str, object]] = {
    "appointment": {"appointment": INNER},
    "data": {"appointment": ..., "data": INNER},
    "both": {"appointment": INNER, "data": {"id": "another"}},
    "appointment in data": {"appointment": ..., "data": {"appointment": INNER}},
    "flat": {"appointment": ..., **INNER},
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("event_type", ["AppointmentCreate", "AppointmentUpdate", "AppointmentDelete"])
def test_an_appointment_is_found_wherever_it_stands(event_type: str, place: str) -> None:
    """In the place of the events' pages, in that of the guide, or in the body itself."""
    event = verify(encode(type=event_type, **PLACES[place]))
    assert event.appointment is not None
    assert (event.type, event.webhook_id, event.unread) == (event_type, "wh-1", ())
    assert event.appointment.id == INNER["id"]
    assert event.appointment.contact_id == INNER["contactId"]


@pytest.mark.parametrize("event_type", ["ContactCreate", "INSTALL", "AppointmentMoved", "appointmentcreate", ""])
def test_an_event_of_another_type_breaks_nothing(event_type: str) -> None:
    """It comes with its type and without an appointment."""
    event = verify(encode(type=event_type))
    assert (event.type, event.appointment, event.unread) == (event_type, None, ())
    assert event.location_id == SAMPLE["locationId"]


def test_an_appointment_event_without_its_appointment_says_so() -> None:
    """`None`, and named."""
    for nothing in (..., None, "gone", []):
        event = verify(encode(appointment=nothing))
        assert (event.appointment, event.unread) == (None, ("appointment",))


def test_an_appointment_without_an_id_has_none() -> None:
    """Nothing stands in for it: no id was asked for."""
    assert verify(encode(appointment={"title": "x"})).appointment == Appointment(title="x")


def test_an_oddity_in_one_field_hides_no_other() -> None:
    """Each that cannot be read is `None` and named."""
    event = verify(encode(webhookId=7, locationId=[], appointment={**INNER, "startTime": "soon", "users": "me"}))
    assert (event.webhook_id, event.location_id) == (None, None)
    assert sorted(event.unread) == ["appointment.start_time", "appointment.users", "location_id", "webhook_id"]
    assert event.appointment is not None
    assert event.appointment.end_time == datetime.fromisoformat(INNER["endTime"])


def test_a_type_that_is_no_text_is_empty_and_named() -> None:
    """An event of no known type."""
    event = verify(encode(type=["AppointmentUpdate"]))
    assert (event.type, event.appointment, event.unread) == ("", None, ("type",))


DEEP = b'{"appointment":' + b"[" * 100_000
UNREADABLE = [
    b"",
    b"null",
    b"[]",
    b"7",
    b"{",
    b"\xff",
    b'{"type":"\xff',
    b"<html>",
    BODY + b"}",
    DEEP,
    encode(x="\ud800"),
]


@pytest.mark.parametrize("body", UNREADABLE, ids=range(len(UNREADABLE)))
def test_a_signed_body_that_cannot_be_read_says_so(body: bytes) -> None:
    """An error of its own, so that it can be answered 2xx: sending it again mends nothing."""
    with pytest.raises(UnreadableWebhookError, match="not a readable JSON object"):
        verify(body, require_timestamp=False)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.sampled_from(["AppointmentCreate", "AppointmentDelete", "Other"]),
    st.dictionaries(st.sampled_from(["type", "locationId", "webhookId", "appointment", "data", "id"]), json_values),
    st.dictionaries(st.sampled_from(sorted(INNER)), json_values),
)
def test_whatever_is_signed_is_read(event_type: str, outer: dict[str, object], inner: dict[str, object]) -> None:
    """No JSON object breaks the reader."""
    for fields in ({"type": event_type, **outer}, {"type": event_type, "appointment": {**INNER, **inner}}):
        event = verify(json.dumps(fields).encode(), require_timestamp=False)
        assert event.appointment is None or event.type.startswith("Appointment")


# Secrets and the extra

PRIVATE = [
    INNER["title"],
    INNER["contactId"],
    "wh-1",
    sign(BODY)[8:40],
    sign_old(BODY)[8:40],
    "BEGIN PUBLIC KEY-----\n",
]


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (BODY, {}),
        (BODY, {NEW: sign(BODY)[:-1]}),
        (BODY, {NEW: sign(BODY) + "é"}),
        (BODY + b" ", {NEW: sign(BODY)}),
        (BODY + b" ", {OLD: sign_old(BODY)}),
        (BODY[:-1], {NEW: sign(BODY[:-1])}),
        (BODY[:-3] + b"\xff", {NEW: sign(BODY[:-3] + b"\xff")}),
        (encode(timestamp=...), {NEW: sign(encode(timestamp=...))}),
        (encode(timestamp="2020-01-01T00:00:00Z"), {NEW: sign(encode(timestamp="2020-01-01T00:00:00Z"))}),
        (BODY.decode(), {NEW: sign(BODY)}),
    ],
    ids=range(10),
)
def test_errors_hold_nothing_of_the_delivery(body: bytes, headers: Mapping[str, str]) -> None:
    """No part of body, signature or key in text, attributes or chain; no words of other packages behind it."""
    with pytest.raises(WebhookError) as caught:
        make_verifier().verify(body, headers)
    seen = show(caught.value)
    assert not [piece for piece in PRIVATE if piece in seen]
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_neither_the_verifier_nor_its_refusals_show_a_key() -> None:
    """Not in a repr; not even a private key that was pasted by mistake."""
    from cryptography.hazmat.primitives.serialization import NoEncryption, PrivateFormat

    secret = new_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    with pytest.raises(ConfigurationError) as caught:
        WebhookVerifier(secret)
    assert secret.splitlines()[1] not in show(caught.value)
    assert "KEY" not in repr(make_verifier())


def test_without_the_extra_the_import_says_how_to_get_it() -> None:
    """And the rest of the package works."""
    code = (
        "import sys; sys.modules['cryptography'] = None\n"
        "import leadconnector_async; from leadconnector_async import WebhookError\n"
        "try: import leadconnector_async.webhooks\n"
        "except ImportError as error: print(error.name, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)  # noqa: S603
    assert done.stdout.startswith("cryptography")
    assert "pip install 'leadconnector-async[webhooks]'" in done.stdout
