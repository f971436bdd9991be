"""Values encrypted at rest with Fernet: by the first of several keys; all of them decrypt, so keys can be rotated.

The name of its row is encrypted with a value. A value that somebody copied to another row is refused.
"""

from __future__ import annotations

import base64
import os
import re
from typing import TYPE_CHECKING, Final

from .._secret import Held, Secret, SecretBytes, conceal
from .._validation.text import clean_line
from ..exceptions import ConfigurationError, TokenStoreError

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

VARIABLE: Final = "LEADCONNECTOR_KEY"
_KEY_BYTES: Final = 32
_KEY: Final = re.compile(r"[A-Za-z0-9_-]{43}=")
_EXTRA: Final = "encryption needs an extra: pip install 'leadconnector-async[cluster]', or [redis]"
_HOW: Final = "`leadconnector shared key` prints a new key"


def make_key() -> Secret:
    """A new key, from the operating system's random numbers."""
    return Secret(base64.urlsafe_b64encode(os.urandom(_KEY_BYTES)).decode())


class Cipher:
    """Encrypts with the first key, and decrypts with any. `keys` is a list separated by commas.

    Raises `ConfigurationError` for an invalid key, and without the extra that encrypts.
    """

    __slots__ = ("_fernet",)

    def __init__(self, keys: Secret) -> None:
        self._fernet = _build(_split(keys))

    def encrypt(self, row: str, content: SecretBytes) -> bytes:
        """The text to store, for this row only."""
        return self._fernet.encrypt(SecretBytes(row.encode() + b"\0" + content))

    def decrypt(self, row: str, value: bytes) -> SecretBytes:
        """What was encrypted for this row. Raises `TokenStoreError`, which shows neither."""
        found = self._try_decrypt(value)
        if found is None:
            raise TokenStoreError(
                f"the token of {show_row(row)} cannot be decrypted: it was encrypted with another key, or altered. "
                f"Add the key that it was encrypted with to {VARIABLE}, after a comma; or delete the token and "
                "connect again"
            )
        start = row.encode() + b"\0"
        if not found.startswith(start):
            raise TokenStoreError(
                f"the token of {show_row(row)} was encrypted for another row, and somebody copied it here: delete "
                "it and connect again"
            )
        return SecretBytes(found[len(start) :])

    def _try_decrypt(self, value: bytes) -> SecretBytes | None:
        """No error of the library may be passed on: its frames hold what was decrypted."""
        from cryptography.fernet import InvalidToken  # noqa: PLC0415 - `_build` has imported it

        try:
            return SecretBytes(self._fernet.decrypt(value))
        except (InvalidToken, TypeError, ValueError):
            return None


def check_key(key: object) -> Secret | None:
    """A setting that is a key, or `None`. Raises `ConfigurationError`, which does not show it."""
    given = None if key is None else conceal(key)
    if isinstance(given, Held):
        raise ConfigurationError(f"key is a {given.kind}; it must be a string, or None to use {VARIABLE}")
    if given is not None and not given:
        raise ConfigurationError(f"key is empty; pass a key, or None to use {VARIABLE}; {_HOW}")
    return given


def find_cipher(key: object, *, required: str | None) -> Cipher | None:
    """The cipher of a key that was passed, or else of the environment.

    Without either: `None`, or `ConfigurationError` if `required` names what needs one.
    """
    given = check_key(key)
    del key
    if given is None:
        given = Secret(os.environ.get(VARIABLE, ""))
    if given:
        return Cipher(given)
    if required is None:
        return None
    raise ConfigurationError(f"{required} are encrypted: set {VARIABLE} or pass key=…; {_HOW}")


def show_row(row: str) -> str:
    """The key of a row, as errors name it."""
    return clean_line(row.partition("/")[2])


def _split(keys: Secret) -> list[SecretBytes]:
    texts = [Secret(text.strip()) for text in keys.split(",")]
    found = [_read(text) for text in texts]
    if None in found:
        raise ConfigurationError(
            f"key {found.index(None) + 1} of {len(found)} is invalid: a key is 32 bytes in URL-safe base64, and "
            f"several are separated by commas; {_HOW}"
        )
    return [key for key in found if key is not None]


def _read(text: Secret) -> SecretBytes | None:
    """The key as Fernet takes it, if it is one."""
    return SecretBytes(text.encode()) if _KEY.fullmatch(text) else None


def _build(keys: list[SecretBytes]) -> MultiFernet:
    try:
        from cryptography.fernet import Fernet, MultiFernet  # noqa: PLC0415 - an extra, and large
    except ModuleNotFoundError:
        raise ConfigurationError(_EXTRA) from None
    return MultiFernet([Fernet(key) for key in keys])
