"""Drivers are extras: the package works without them, and says which one is missing."""

import builtins
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from leadconnector_async import ConfigurationError, Shared

URLS = {
    "psycopg": ("postgresql://me:secret-zzzz@127.0.0.1/leads", "cluster"),
    "redis": ("redis://me:secret-zzzz@127.0.0.1", "redis"),
}


def hide(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """As if a package were not installed."""
    load = builtins.__import__

    def find(name: str, *others: object, **more: object) -> ModuleType:
        if name.partition(".")[0] == missing:
            raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)
        return load(name, *others, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", find)
    for name in [one for one in sys.modules if one.startswith("leadconnector_async.integrations")]:
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.parametrize("missing", URLS)
def test_a_missing_driver_is_named_by_its_extra(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, when `Shared` is created, and not when the first call needs it."""
    url, extra = URLS[missing]
    hide(monkeypatch, missing)
    with pytest.raises(ConfigurationError) as caught:
        Shared(url)
    assert str(caught.value).endswith(f"needs the extra {extra}: pip install 'leadconnector-async[{extra}]'")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("missing", URLS)
def test_the_other_stores_do_without_it(missing: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """SQLite needs no extra."""
    hide(monkeypatch, missing)
    assert Shared(f"sqlite:///{tmp_path}/shared.db")
    assert all(Shared(url) for name, (url, _) in URLS.items() if name != missing)


def test_a_store_loads_no_driver_but_its_own() -> None:
    """Nor does it load sqlite3 with the package."""
    code = (
        "import sys; from leadconnector_async import Shared; Shared('sqlite:////x.db');"
        "assert not {'psycopg', 'redis', 'cryptography'} & set(sys.modules);"
        "Shared('redis://127.0.0.1'); assert 'psycopg' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603
