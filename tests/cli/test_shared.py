"""`leadconnector shared`: the store of several processes, prepared and checked from a shell."""

import json
import socket
from pathlib import Path

import pytest
from redis.asyncio.connection import Connection

from leadconnector_async import RedisTokenStore, Shared
from leadconnector_async.cli.connect import make_shared
from leadconnector_async.cli.shared import check
from leadconnector_async.exceptions import ConfigurationError

from ..leaks import show_all
from ..servers import take_port
from .commanding import run

PASSWORD = "pass-w0rd-zzzz"


async def test_a_database_is_migrated_and_then_checked(postgres_url: str) -> None:
    """Before, the check names the command that is missing."""
    assert await run("shared", "check", postgres_url, env={}) == (
        2,
        "",
        f"{Shared(postgres_url).address.shown} has no tables yet; run: leadconnector shared migrate URL\n",
    )
    code, out, err = await run("shared", "migrate", postgres_url, env={})
    assert (code, out, err) == (0, f"{Shared(postgres_url).address.shown} has the tables of this version.\n", "")
    code, out, _ = await run("shared", "check", "--json", env={"LEADCONNECTOR_SHARED": postgres_url})
    assert (code, json.loads(out)) == (0, {"store": Shared(postgres_url).address.shown, "result": "can be used"})


async def test_every_kind_of_store_can_be_migrated(store_url: str) -> None:
    """Where nothing needs to be created too, so that a script need not know."""
    for _ in range(2):
        code, _, err = await run("shared", "migrate", store_url, env={})
        assert (code, err) == (0, "")


async def test_a_store_that_is_away_can_be_tried_again_later() -> None:
    """With the code for a server that is unreachable, and not that for a mistake."""
    code, out, err = await run("shared", "check", f"redis://127.0.0.1:{take_port()}", env={})
    assert (code, out) == (5, "")
    assert "could not be reached" in err


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{PASSWORD}@127.0.0.1/leads",
        f"rediss://:{PASSWORD}@cache.example.com",
        f"nonsense://me:{PASSWORD}@db.example.com",
        f"postgresql://db.example.com/leads?password={PASSWORD}",
    ],
)
@pytest.mark.parametrize("command", ["migrate", "check"])
async def test_a_password_in_an_argument_is_refused(url: str, command: str) -> None:
    """All users of the machine can see it; the error does not repeat it, and says where it belongs."""
    for flags in ((), ("--json",), ("--allow-plaintext",)):
        code, out, err = await run("shared", command, url, *flags, env={})
        assert code == 2
        assert "set LEADCONNECTOR_SHARED instead, or LEADCONNECTOR_SHARED_FILE to a file" in err
        assert PASSWORD not in out + err


async def test_a_password_may_be_in_the_environment_a_file_or_a_command(tmp_path: Path) -> None:
    """Of a profile too; it is not shown."""
    url = f"redis://:{PASSWORD}@127.0.0.1:{take_port()}"
    path = tmp_path / "url"
    path.write_text(f"{url}\n")
    path.chmod(0o600)
    for env in (
        {"LEADCONNECTOR_SHARED": url},
        {"LEADCONNECTOR_SHARED_FILE": str(path)},
        {"LEADCONNECTOR_SHARED_COMMAND": f"cat {path}"},
        {"LEADCONNECTOR_CLINIC_SHARED": url, "LEADCONNECTOR_PROFILE": "clinic"},
    ):
        code, out, err = await run("shared", "check", env=env)
        assert (code, out) == (5, "")
        assert "redis://127.0.0.1" in err
        assert PASSWORD not in err


SETTINGS = {
    "nothing": ({}, "LEADCONNECTOR_SHARED is not set; pass the URL of the store"),
    "two": (
        {"LEADCONNECTOR_SHARED": "redis://127.0.0.1", "LEADCONNECTOR_SHARED_FILE": "x"},
        "LEADCONNECTOR_SHARED and LEADCONNECTOR_SHARED_FILE are both set",
    ),
    "no file": ({"LEADCONNECTOR_SHARED_FILE": "/missing"}, "LEADCONNECTOR_SHARED_FILE: /missing cannot be read"),
    "failing": ({"LEADCONNECTOR_SHARED_COMMAND": f"false {PASSWORD}"}, "returned nothing: exit code 1"),
    "silent": ({"LEADCONNECTOR_SHARED_COMMAND": "true"}, "the first line of its output is empty"),
    "missing": ({"LEADCONNECTOR_SHARED_COMMAND": f"missing-{PASSWORD}"}, "returned nothing: No such file"),
    "quote": ({"LEADCONNECTOR_SHARED_COMMAND": f"cat '{PASSWORD}"}, "is not a valid command: No closing quotation"),
    "plain": (
        {"LEADCONNECTOR_SHARED": f"redis://:{PASSWORD}@10.0.0.7"},
        "allow_plaintext=True or --allow-plaintext",
    ),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_what_is_wrong_with_the_environment_is_named(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable, and no secret of it: not in the error, nor in its frames."""
    env, message = SETTINGS[case]
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as caught:
        make_shared(None, required=True)
    assert message in str(caught.value)
    assert PASSWORD not in show_all(caught.value)


def test_a_command_without_a_store_shares_nothing() -> None:
    """As today."""
    assert make_shared(None) is None


async def test_plain_text_is_a_decision_of_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--allow-plaintext` permits it: the name is then looked up, here without success."""
    asked: list[object] = []

    async def look_up(connection: Connection) -> None:
        asked.append(connection.host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(Connection, "_connect", look_up)  # the resolver of uvloop cannot be replaced
    assert await check("redis://cache.example.com") == 2
    assert "use rediss://" in capsys.readouterr().err
    assert asked == []
    assert await check("redis://cache.example.com", allow_plaintext=True) == 5
    assert "Name or service not known" in capsys.readouterr().err
    assert asked == ["cache.example.com"]


async def test_a_new_key_is_printed_alone() -> None:
    """Each time another, which a store takes as it is, after the last one too."""
    printed = [await run("shared", "key", env={}) for _ in range(2)]
    assert [(code, err) for code, _, err in printed] == [(0, "")] * 2
    keys = [out.removesuffix("\n") for _, out, _ in printed]
    assert keys[0] != keys[1]
    assert RedisTokenStore("redis://127.0.0.1", key=",".join(keys))
