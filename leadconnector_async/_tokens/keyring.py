"""`KeyringTokenStore`: tokens in the operating system's keyring.

Windows limits an entry to 1,280 characters, so a token is split into parts, on all systems alike. Its header has
their number, a random generation that is in their names, and a digest. macOS replaces an entry by removing it
first, so none is ever replaced: there are two headers, and a save writes the one that the newest token does not
use. Until all parts of the new token are there, the old one is whole; then it is removed. What a crash leaves
behind is removed by the next save, because a header names it.
"""

from __future__ import annotations

import binascii
import os
import secrets
from base64 import b64decode, b64encode
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import quote

import msgspec
from msgspec import Meta, Struct

from .._secret import Masked, Secret, SecretBytes
from .._system.threads import run_in_thread
from .._validation.settings import check_kind, check_line, check_path, check_seconds
from .._validation.text import escape, shorten
from ..exceptions import ConfigurationError, TokenStoreError
from ..token_stores import TokenLocks, decode_tokens, encode_tokens, explain_failure, hash_name
from ..tokens import StoredToken

if TYPE_CHECKING:
    from ..integrations.keyring_entries import KeyringEntries

_PART: Final = 1200
"""Characters of a part; they are ASCII, of two bytes each on Windows, which allows 2,560 bytes."""
_FOLDER: Final = ".leadconnector-async"
_SLOTS: Final = (0, 1)


class _Header(Struct, frozen=True):
    number: int = -1
    """The newer of two headers has the larger one."""
    generation: str = ""
    parts: Annotated[int, Meta(ge=0, le=10_000)] = 0
    digest: str = ""


class _Found(Masked, Struct, frozen=True):
    slot: int
    number: int
    token: StoredToken


class KeyringTokenStore:
    """Tokens in the operating system's keyring, shared by the processes of its user. Needs the extra `keyring`.

        app = OAuthApp(client_id, client_secret, store=KeyringTokenStore("my-app"))

    `service` distinguishes the apps that use the keyring; the names of all entries begin with it. Which keyring is
    used is a setting of the library `keyring`: by default Keychain, the Windows Credential Manager, or the Secret
    Service. It may ask the user to unlock it, which does not block the event loop. Locks are files in
    `lock_folder`, by default `~/.leadconnector-async`. `lock_seconds` bounds the wait for another process.

    Raises `ConfigurationError` for settings that cannot work, and `TokenStoreError`.
    """

    def __init__(
        self, service: str, *, lock_folder: str | os.PathLike[str] | None = None, lock_seconds: float = 60.0
    ) -> None:
        check_seconds("lock_seconds", lock_seconds)
        self._service = check_line("service", service)
        if "/" in self._service:
            raise ConfigurationError(f"service is {escape(shorten(self._service))!r}; it must not contain a slash")
        if lock_folder is None:
            lock_folder = os.path.join(os.path.expanduser("~"), _FOLDER)
        folder = os.path.realpath(check_path("lock_folder", lock_folder))
        self._shown = f"the keyring entry of {escape(shorten(self._service))}"
        self._locks = TokenLocks(folder, f"{self._shown} (locks in {escape(folder)})", lock_seconds)
        self._entries = _open_entries(self._shown)

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {vars(self).get('_service', '')!r}>"  # incomplete while a setting is refused
        )

    async def load(self, key: str) -> StoredToken | None:
        """The newest token that any process saved."""
        with explain_failure(self._shown, "read"):
            return await run_in_thread(partial(self._load, check_line("key", key)))

    async def save(self, key: str, token: StoredToken) -> None:
        """Save a token: the keyring has it when this returns, and no longer has the one before."""
        check_kind("token", token, StoredToken)
        with explain_failure(self._shown, "written"):
            await run_in_thread(partial(self._save, check_line("key", key), token))

    def lock(self, key: str) -> AbstractAsyncContextManager[None]:
        """Excludes all other tasks and processes. Waiting does not block the event loop."""
        return self._locks.hold(hash_name(self._name(check_line("key", key))))

    def _load(self, key: str) -> StoredToken | None:
        found = self._find(key)
        if found is None:
            with self._hold(key):  # a save in progress may have removed what was read
                found = self._find(key)
                if found is None and any(self._read_header(key, slot) for slot in _SLOTS):
                    raise TokenStoreError(
                        f"the token of {escape(shorten(key))} in the keyring is damaged; delete the entries whose "
                        f"names begin with {escape(shorten(self._name(key)))}/, and connect again"
                    )
        return None if found is None else found.token

    def _save(self, key: str, token: StoredToken) -> None:
        content = encode_tokens({key: token}, self._shown)
        with self._locks.spend(hash_name(self._name(key))), self._hold(key):
            found = self._find(key)
            slot, number = (1 - found.slot, found.number + 1) if found else (0, 0)
            self._remove(key, slot)
            self._write(key, slot, number, content)
            self._remove(key, 1 - slot)

    def _hold(self, key: str) -> AbstractContextManager[None]:
        """The lock under which entries are written."""
        return self._locks.hold_in_thread(hash_name(f"{self._name(key)}/entries"))

    def _name(self, key: str) -> str:
        return f"{self._service}/{quote(key, safe='')}"

    def _find(self, key: str) -> _Found | None:
        """The newest token that is whole."""
        headers = [(header, slot) for slot in _SLOTS if (header := self._read_header(key, slot)) is not None]
        for header, slot in sorted(headers, key=lambda one: one[0].number, reverse=True):
            content = self._join(key, header)
            token = (decode_tokens(content) or {}).get(key) if content is not None else None
            if token is not None:
                return _Found(slot, header.number, token)
        return None

    def _read_header(self, key: str, slot: int) -> _Header | None:
        """`None` if there is none; one that cannot be read has no parts."""
        text = self._entries.read(f"{self._name(key)}/{slot}")
        if text is None:
            return None
        try:
            return msgspec.json.decode(text.encode(), type=_Header)
        except (msgspec.MsgspecError, ValueError):
            return _Header()

    def _join(self, key: str, header: _Header) -> SecretBytes | None:
        """The content that the parts make; `None` unless they are all there and what was written."""
        parts: list[Secret] = []
        for name in self._list_parts(key, header):
            part = self._entries.read(name)
            if part is None:
                return None
            parts.append(part)
        content = _try_unpack(Secret("".join(parts)))
        return content if content is not None and sha256(content).hexdigest() == header.digest else None

    def _write(self, key: str, slot: int, number: int, content: SecretBytes) -> None:
        text = Secret(b64encode(content).decode())
        parts = [text[start : start + _PART] for start in range(0, len(text), _PART)]
        header = _Header(number, secrets.token_hex(8), len(parts), sha256(content).hexdigest())
        self._entries.write(f"{self._name(key)}/{slot}", Secret(msgspec.json.encode(header).decode()))
        for name, part in zip(self._list_parts(key, header), parts, strict=True):
            self._entries.write(name, part)
        if self._join(key, header) != content:  # such as the null keyring, which stores nothing
            raise TokenStoreError(
                f"{self._shown} could not be written: the keyring does not return what was stored in it; choose "
                "another one, see `python -m keyring --list-backends`, or use another store, such as FileTokenStore"
            )

    def _remove(self, key: str, slot: int) -> None:
        """Remove a token that is not the newest, its header last: it names the parts."""
        header = self._read_header(key, slot)
        if header is not None:
            for name in self._list_parts(key, header):
                self._entries.remove(name)
            self._entries.remove(f"{self._name(key)}/{slot}")

    def _list_parts(self, key: str, header: _Header) -> list[str]:
        return [f"{self._name(key)}/{header.generation}/{place}" for place in range(header.parts)]


def _open_entries(shown: str) -> KeyringEntries:
    """Reads nothing yet."""
    try:
        from ..integrations.keyring_entries import KeyringEntries  # noqa: PLC0415 - imported only when it is used
    except ModuleNotFoundError as error:
        if error.name != "keyring":
            raise
    else:
        return KeyringEntries(shown)
    hint = "pip install 'leadconnector-async[keyring]'"
    raise ConfigurationError(f"KeyringTokenStore needs the extra keyring: {hint}")


def _try_unpack(text: Secret) -> SecretBytes | None:
    """Neither the error nor its traceback may be passed on: they hold what was read."""
    try:
        return SecretBytes(b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return None
