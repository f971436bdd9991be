"""Where the tests of shared tokens keep them: a database of their own, or an app of their own in a shared one."""

import uuid

from msgspec import Struct

from leadconnector_async import RedisTokenStore, SQLTokenStore
from leadconnector_async._sharing.crypto import make_key


class Place(Struct):
    """The settings of a store."""

    kind: str
    url: str
    key: str
    app: str = ""

    def open(self, **changes: object) -> SQLTokenStore | RedisTokenStore:
        kind = RedisTokenStore if self.kind == "valkey" else SQLTokenStore
        settings = {"key": self.key, "app": self.app, **changes}
        return kind(self.url, **settings)  # type: ignore[arg-type]


def make_place(kind: str, url: str) -> Place:
    return Place(kind, url, str(make_key()), uuid.uuid4().hex)
