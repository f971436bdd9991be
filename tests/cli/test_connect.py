"""Which account a command works for, and that nothing secret is shown."""

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from leadconnector_async import (
    AuthenticationError,
    ConfigurationError,
    FileTokenStore,
    KeyringTokenStore,
    LeadConnector,
    OAuthApp,
    SQLTokenStore,
    TokenStore,
)
from leadconnector_async._sharing.crypto import make_key
from leadconnector_async.cli import tokens
from leadconnector_async.cli.arguments import Account
from leadconnector_async.cli.connect import Settings, find_place, make_client
from leadconnector_async.cli.tokens import CommandToken, read_secret
from leadconnector_async.sandbox import Sandbox

from ..conftest import WIDE
from ..leaks import show_all
from ..oauth.keyrings import MemoryKeyring
from ..test_secrets import show
from .commanding import name_account, run

SECRET = "pit-0123456789-very-secret"


def write(path: Path, text: str, mode: int = 0o600) -> str:
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def script(path: Path, code: str) -> str:
    """A command that runs Python."""
    path.write_text(code)
    return f"'{sys.executable}' '{path}'"


def settings(variables: Mapping[str, str], profile: str | None = None) -> Settings:
    return Settings({f"LEADCONNECTOR_{name}": text for name, text in variables.items()}, profile)


async def test_a_token_comes_from_the_environment_a_file_or_a_command(
    account: Sandbox, bare: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of a file and of a command, the first line."""
    sources = {
        "TOKEN": account.token,
        "TOKEN_FILE": write(tmp_path / "token", f"{account.token}\nsecond line\n"),
        "TOKEN_COMMAND": script(tmp_path / "t.py", f"print('{account.token}'); print('second line')"),
    }
    for name, value in sources.items():
        for other in sources:
            bare.delenv(f"LEADCONNECTOR_{other}", raising=False)
        bare.setenv(f"LEADCONNECTOR_{name}", value)
        async with make_client() as client:
            assert (await client.get_appointment(account.appointment_ids[0])).id == account.appointment_ids[0]
            assert client.location_id == account.location_id
            assert account.token not in repr(client) + repr(client._shared.tokens)


def make_store(kind: str, folder: Path) -> tuple[str, TokenStore]:
    """What the environment names, and a store for the same place."""
    match kind:
        case "file":
            return f"{folder}/tokens.json", FileTokenStore(folder / "tokens.json")
        case "keyring":
            return "keyring://my%20app", KeyringTokenStore("my app", lock_folder=folder / ".leadconnector-async")
        case _:
            return f"sqlite:///{folder}/tokens.db", SQLTokenStore(f"sqlite:///{folder}/tokens.db")


@pytest.mark.parametrize("kind", ["file", "url", "keyring", "shared"])
async def test_an_app_brings_its_tokens_for_every_location(
    account: Sandbox, bare: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    """Out of a file, a keyring, a store of their own, or the store that is shared; its secret may be in a file."""
    place, store = make_store(kind, tmp_path)
    bare.setenv("HOME", str(tmp_path))
    bare.setattr("keyring.core._keyring_backend", MemoryKeyring())
    app = OAuthApp(account.client_id, account.client_secret, base_url=account.url, store=store)
    await app.exchange_code(account.issue_code())
    bare.delenv("LEADCONNECTOR_TOKEN")
    bare.setenv("LEADCONNECTOR_CLIENT_ID", account.client_id)
    bare.setenv("LEADCONNECTOR_CLIENT_SECRET_FILE", write(tmp_path / "secret", account.client_secret + "\n"))
    bare.setenv("LEADCONNECTOR_SHARED" if kind == "shared" else "LEADCONNECTOR_TOKEN_STORE", place)
    async with make_client() as client:
        assert (await client.get_appointment(account.appointment_ids[0])).title
        with pytest.raises(AuthenticationError) as caught:
            await client.for_location("other").get_appointment("ev1")
        assert account.client_secret not in show(caught.value) + repr(client)


async def test_a_command_is_run_once_for_each_location(tmp_path: Path, bare: pytest.MonkeyPatch) -> None:
    """With the location in its environment; a client of several locations asks it for each."""
    log = tmp_path / "log"
    code = f"import os; name = os.environ['LEADCONNECTOR_LOCATION_ID']; open({str(log)!r}, 'a').write(name + ' ')"
    code += "; print('token-' + name)"
    provider = CommandToken("X", script(tmp_path / "t.py", code), "loc1")
    client = LeadConnector(provider, location_id="loc1")
    for location_id in ("loc1", "loc2", "loc2", "loc1"):
        assert await client.for_location(location_id)._shared.tokens.fetch() == f"token-{location_id}"
    assert log.read_text() == "loc1 loc2 "
    assert await provider.refresh("an older one") == "token-loc1"
    assert log.read_text() == "loc1 loc2 "
    assert await provider.refresh("token-loc1") == "token-loc1"
    assert log.read_text() == "loc1 loc2 loc1 "


async def test_a_command_needs_no_shell(tmp_path: Path) -> None:
    """What a shell would take apart or fill in is passed on as it is."""
    code = "import sys; print('|'.join(sys.argv[1:]).replace(' ', '_'))"
    provider = CommandToken("X", script(tmp_path / "t.py", code) + " $HOME 'two words' ; echo `id`", "loc1")
    assert await provider() == "$HOME|two_words|;|echo|`id`"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import sys; print('{secret}'); sys.exit(3)", "exit code 3"),
        ("print(); print('{secret}')", "first line of its output is empty"),
        ("import time; print('{secret}', flush=True); time.sleep(60)", "did not finish within"),
        (
            "import os, time; print('{secret}', flush=True); os.fork(); time.sleep(60)",
            "did not finish within",
        ),
        ("print('two words {secret}')", "a space"),
    ],
)
async def test_a_command_that_gives_no_token_is_named_and_not_shown(
    code: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither its output nor its text; one that takes too long is ended, whatever it has started."""
    if "finish" in reason:  # the others end by themselves, on a busy machine not within that
        monkeypatch.setattr(tokens, "_COMMAND_SECONDS", 0.5)
    monkeypatch.setattr(tokens, "_LAST_SECONDS", 0.2)
    command = script(tmp_path / "t.py", "import sys; sys.stderr.write('said'); " + code.format(secret=SECRET))
    began = time.monotonic()
    async with LeadConnector(CommandToken("X_TOKEN_COMMAND", command, "loc1"), location_id="loc1") as client:
        with pytest.raises(ConfigurationError, match=reason) as caught:
            await client.get_appointment("ev1")
    assert time.monotonic() - began < 30
    out, err = capfd.readouterr()
    assert SECRET not in show(caught.value).replace(code.format(secret=SECRET), "") + out + err
    assert "said" in err


@pytest.mark.parametrize(
    ("command", "reason"),
    [("no-such-command-anywhere", "No such file"), ("'open", "No closing quotation"), ("   ", "it is empty")],
)
async def test_what_is_no_command_is_a_configuration_error(command: str, reason: str) -> None:
    """It says which variable is meant."""
    with pytest.raises(ConfigurationError, match=f"X_TOKEN_COMMAND .*{reason}"):
        await CommandToken("X_TOKEN_COMMAND", command, "loc1")()


@pytest.mark.skipif(os.name != "posix", reason="only there do files have modes")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610])
def test_a_file_that_others_can_read_is_refused(mode: int, tmp_path: Path) -> None:
    """With the command that mends it."""
    path = write(tmp_path / "my token", SECRET, mode)
    with pytest.raises(ConfigurationError, match=r"X_TOKEN_FILE: .*chmod 600 '.*my token'") as caught:
        read_secret("X_TOKEN_FILE", path)
    assert SECRET not in show(caught.value)


def test_a_file_that_holds_nothing_is_named(tmp_path: Path) -> None:
    """One that is missing, empty, a folder, or no text."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "binary").chmod(0o600)
    (tmp_path / "folder").mkdir(mode=0o700)
    write(tmp_path / "empty", "\n")
    for name in ("missing", "empty", "folder", "binary"):
        with pytest.raises(ConfigurationError, match=f"X: .*{name}"):
            read_secret("X", str(tmp_path / name))
    assert read_secret("X", write(tmp_path / "good", "\ufeff token \r\n")) == "token"


@pytest.mark.parametrize(
    ("variables", "profile", "reason"),
    [
        ({}, None, "LEADCONNECTOR_TOKEN is not set"),
        (
            {"TOKEN": SECRET},
            "clinic",
            r"LEADCONNECTOR_CLINIC_TOKEN is not set \(LEADCONNECTOR_TOKEN does not apply to",
        ),
        (
            {"TOKEN": SECRET, "TOKEN_FILE": "x"},
            None,
            "LEADCONNECTOR_TOKEN and LEADCONNECTOR_TOKEN_FILE are both set",
        ),
        ({"CLIENT_ID": "app"}, None, "LEADCONNECTOR_TOKEN_STORE is not set; .* or set LEADCONNECTOR_SHARED"),
        ({"CLIENT_ID": "app", "TOKEN_STORE": "x"}, None, "LEADCONNECTOR_CLIENT_SECRET is not set"),
        (
            {"CLIENT_ID": "app", "TOKEN_STORE": "x", "CLIENT_SECRET": SECRET, "CLIENT_SECRET_FILE": "y"},
            None,
            "LEADCONNECTOR_CLIENT_SECRET and LEADCONNECTOR_CLIENT_SECRET_FILE are both set",
        ),
        ({"TOKEN": f"Bearer {SECRET}"}, None, "the token"),
    ],
)
def test_settings_that_cannot_work_are_named(variables: dict[str, str], profile: str | None, reason: str) -> None:
    """By the variable to set; no value is shown."""
    with pytest.raises(ConfigurationError, match=reason) as caught:
        settings(variables, profile).make_token("loc1")
    assert SECRET not in show(caught.value)


def test_a_token_store_without_tls_needs_permission(bare: pytest.MonkeyPatch) -> None:
    """The same as the shared store: `--allow-plaintext` is for both."""
    bare.setenv("LEADCONNECTOR_KEY", str(make_key()))
    app = settings({"CLIENT_ID": "app", "CLIENT_SECRET": SECRET, "TOKEN_STORE": "redis://cache"})
    with pytest.raises(ConfigurationError, match="allow_plaintext"):
        app.make_token("loc1")
    assert app.make_token("loc1", allow_plaintext=True)


@pytest.mark.parametrize("profile", ["", "a b", "../x", "é", "-x"])
def test_a_profile_has_a_plain_name(profile: str) -> None:
    """Letters, digits, dashes and underscores."""
    with pytest.raises(ConfigurationError, match="is not a valid profile name"):
        settings({}, profile)
    assert settings({}, "clinic-2").name("TOKEN") == "LEADCONNECTOR_CLINIC_2_TOKEN"
    assert SECRET not in repr(settings({"TOKEN": SECRET}))


async def test_a_fixed_token_is_of_one_location() -> None:
    """For another one, the error says what to set."""
    provider = settings({"CLINIC_TOKEN": SECRET}, "clinic").make_token("loc1")
    client = LeadConnector(provider, location_id="loc1")
    assert await client.for_location("loc1")._shared.tokens.fetch() == SECRET
    with pytest.raises(
        ConfigurationError,
        match="loc1 only; for plans of several locations, set LEADCONNECTOR_CLINIC_TOKEN_COMMAND",
    ) as caught:
        client.for_location("loc2")
    assert SECRET not in show(caught.value) + repr(provider)


async def test_a_profile_is_named_by_a_flag_or_by_a_variable(bare: pytest.MonkeyPatch) -> None:
    """The flag goes first; an empty variable is none."""
    async with Sandbox(seed=1, appointments=1, limits=WIDE) as one, Sandbox(seed=2, appointments=1) as two:
        for name, value in {**name_account(one), **name_account(two, "TWO_")}.items():
            bare.setenv(name, value)
        for variable, flag, expected in [
            ("", None, one),
            ("two", None, two),
            ("nobody", "two", two),
        ]:
            bare.setenv("LEADCONNECTOR_PROFILE", variable)
            async with make_client(Account(flag)) as client:
                assert client.location_id == expected.location_id
                assert (await client.get_appointment(expected.appointment_ids[0])).location_id
        bare.setenv("LEADCONNECTOR_PROFILE", "nobody")
        with pytest.raises(ConfigurationError, match="LEADCONNECTOR_NOBODY_LOCATION_ID is not set"):
            make_client()


async def test_no_command_shows_a_secret(sandbox: Sandbox, tmp_path: Path) -> None:
    """Not in its output, be it good or bad, nor in the arguments of the process that gets the token."""
    seen = tmp_path / "arguments"
    code = "import os, sys, pathlib\n"
    code += f"pathlib.Path({str(seen)!r}).write_text(repr(sys.orig_argv))\n"
    code += f"print(pathlib.Path({str(tmp_path / 'kept')!r}).read_text())"
    write(tmp_path / "kept", sandbox.token)
    account = name_account(sandbox)
    by_command = {**account, "LEADCONNECTOR_TOKEN_COMMAND": script(tmp_path / "t.py", code)}
    del by_command["LEADCONNECTOR_TOKEN"]
    event_id = sandbox.appointment_ids[0]
    code_, out, err = await run("get", event_id, "--json", env=by_command)
    assert (code_, json.loads(out)["id"], err) == (0, event_id, "")
    assert sandbox.token not in out + seen.read_text()
    wrong = {**account, "LEADCONNECTOR_TOKEN": SECRET}
    code_, out, err = await run("get", event_id, env=wrong)
    assert (code_, out) == (4, "")
    assert "401" in err
    assert SECRET not in err


@pytest.mark.parametrize("reserve", [None, 0, 20, 99])
async def test_the_reserve_of_a_command_is_that_of_its_client(
    account: Sandbox, bare: pytest.MonkeyPatch, reserve: int | None
) -> None:
    """A fifth of the location's limit, or nothing at all; without the flag it follows demand."""
    async with make_client(reserve=reserve) as client:
        assert client.quota.reserve == (5 if reserve is None else reserve)


@pytest.mark.parametrize("reserve", [-1, 100])
def test_a_reserve_that_cannot_be_is_refused_by_its_flag(
    account: Sandbox, bare: pytest.MonkeyPatch, reserve: int
) -> None:
    """A job that may send nothing would never end."""
    with pytest.raises(ConfigurationError, match=f"--reserve {reserve}: it must be at least 0 and less than 100"):
        make_client(reserve=reserve)


DATABASE = "postgresql://db.example.com/leads"


@pytest.mark.parametrize(
    ("shared", "place", "found"),
    [
        (None, "day.job", "day.job"),
        (None, f"{DATABASE}#march", f"{DATABASE}#march"),
        ("postgresql://me:secret-word@db.example.com/leads?sslmode=require", "day.job", "day.job"),
        (
            "postgresql://me:secret-word@db.example.com/leads?sslmode=require",
            f"{DATABASE}#march",
            "postgresql://me:secret-word@db.example.com/leads?sslmode=require#march",
        ),
        (
            "postgres://me:secret-word@db.example.com/leads",
            DATABASE,
            "postgres://me:secret-word@db.example.com/leads",
        ),
        ("postgresql://me:secret-word@db.example.com/other", f"{DATABASE}#march", f"{DATABASE}#march"),
        (
            "postgresql://me:secret-word@db.example.com/leads",
            "postgresql://you@db.example.com/leads#march",
            "postgresql://you@db.example.com/leads#march",
        ),
        ("rediss://:secret-word@cache.example.com", f"{DATABASE}#march", f"{DATABASE}#march"),
        ("not a URL", f"{DATABASE}#march", f"{DATABASE}#march"),
    ],
)
def test_a_job_gets_the_password_of_the_shared_store(
    shared: str | None, place: str, found: str, bare: pytest.MonkeyPatch
) -> None:
    """If that is the same database, and the argument names no user."""
    if shared is not None:
        bare.setenv("LEADCONNECTOR_SHARED", shared)
    assert str.__str__(find_place(place)) == found


def test_a_password_in_an_argument_is_refused(bare: pytest.MonkeyPatch) -> None:
    """It is not shown, and what to set instead is."""
    with pytest.raises(ConfigurationError) as caught:
        find_place("postgresql://me:secret-word@db.example.com/leads#march", "clinic")
    assert "the URL of the database has a password, and other users can see the arguments" in str(caught.value)
    assert "set LEADCONNECTOR_CLINIC_SHARED instead" in str(caught.value)
    assert "secret-word" not in show_all(caught.value)
