"""Webhooks of the sandbox: who gets them, and how each is delivered until it is acknowledged.

Every event is delivered at least once to each subscriber. Without a 2xx it is sent again, with growing intervals.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Final, TypeAlias, cast

import aiohttp
from msgspec import Struct
from yarl import URL

from .._validation.settings import is_loopback, to_text
from .settings import check_duration, check_kind, check_number, check_switch, reject_setting
from .signing import SignedWebhook

Post: TypeAlias = Callable[[URL, SignedWebhook, int], Awaitable[bool]]
"""Delivers a webhook, and lists it with the number of the attempt; returns whether it was acknowledged."""

_TIMEOUT: Final = aiohttp.ClientTimeout(total=10.0)
_HOLD: Final = 1.0
"""Seconds for which an event waits for the next one, which is to overtake it."""
_LONGEST_INTERVAL: Final = 600.0
_MOST_WAITING: Final = 10_000
_MOST_KEPT: Final = 10_000
"""Deliveries that are listed."""


class WebhookRules(Struct, frozen=True, kw_only=True):
    """How events are delivered to one subscriber."""

    repeats: int = 0
    """Further deliveries of every event after it was acknowledged."""
    delay: float = 0.0
    """Seconds from a change to its delivery."""
    out_of_order: bool = False
    """Whether every second event is delivered before the one that precedes it."""
    retries: int = 12
    """How often an event without a 2xx response is sent again [doc]."""
    interval: float = 1.0
    """Seconds until it is sent again for the first time; each interval is twice the one before, up to 600."""

    def __post_init__(self) -> None:
        check_number("repeats", self.repeats, 0, 100)
        check_duration("delay", self.delay, may_be_zero=True)
        check_switch("out_of_order", self.out_of_order)
        check_number("retries", self.retries, 0, 100)
        check_duration("interval", self.interval)


class Delivery(Struct, frozen=True):
    """One attempt to deliver a webhook."""

    url: str
    """Where it was sent."""
    type: str
    """Such as `AppointmentUpdate`."""
    webhook_id: str
    """The same in all deliveries of this event."""
    attempt: int
    """1 for the first."""
    at: float
    """When it ended, in seconds of the event loop's clock."""
    status: int | None
    """Status code of the response; `None` if there was none."""


class Webhooks:
    """Subscribers, and the deliveries to them."""

    def __init__(self, hosts: Iterable[str] = ()) -> None:
        self._hosts = frozenset(_check_host(host) for host in _check_list(hosts))
        self._subscribers: dict[str, _Subscriber] = {}
        self._begun: set[asyncio.Task[bool]] = set()
        self._session: aiohttp.ClientSession | None = None
        self._deliveries: deque[Delivery] = deque(maxlen=_MOST_KEPT)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} to {len(self._subscribers)}>"

    @property
    def deliveries(self) -> tuple[Delivery, ...]:
        """The attempts so far, oldest first; the newest 10,000 are kept."""
        return tuple(self._deliveries)

    @property
    def dropped(self) -> int:
        """Events that were not delivered because too many were waiting."""
        return sum(subscriber.dropped for subscriber in self._subscribers.values())

    @property
    def has_subscribers(self) -> bool:
        """Whether anybody gets them."""
        return bool(self._subscribers)

    def subscribe(self, url: str, rules: WebhookRules | None = None) -> None:
        """Deliver every change of an appointment to a URL from now on; again, to change its rules.

        `url` is where to, and `rules` say how.

        Raises `InvalidRequestError`, a `ValueError`, for a host that is neither loopback nor in `webhook_hosts`.
        """
        checked = _check_url(url, self._hosts)
        check_kind("rules", rules, WebhookRules)
        self.unsubscribe(url)
        self._subscribers[url] = _Subscriber(checked, rules or WebhookRules(), self._deliver)

    def unsubscribe(self, url: str) -> None:
        """Deliver nothing more to a URL, not even what is waiting.

        `url` is the one that was subscribed.
        """
        if (known := self._subscribers.pop(url, None)) is not None:
            known.cancel()

    def notify(self, webhook: SignedWebhook) -> None:
        """Deliver an event to all subscribers. Before the sandbox has started, nobody gets any."""
        if self._session is not None:
            for subscriber in self._subscribers.values():
                subscriber.add(webhook)

    async def wait_delivered(self) -> None:
        """Wait until every event so far is acknowledged, or was sent as often as the rules say."""
        while tasks := [*self._begun, *(task for one in self._subscribers.values() for task in one.tasks)]:
            await asyncio.wait(tasks)

    async def send(self, url: str, webhook: SignedWebhook) -> int:
        """Post a webhook once; returns the status code. Raises `ConnectionError` if there is no response.

        Raises `InvalidRequestError`, a `ValueError`, as `subscribe` does.
        """
        status = await self._post(_check_url(url, self._hosts), webhook, 1)
        if status is None:
            raise ConnectionError(f"{url} did not respond to the webhook; is the receiver running?")
        return status

    def begin(self, url: str, webhook: SignedWebhook) -> None:
        """Post a webhook once, without waiting for it. Raises `InvalidRequestError` as `subscribe` does."""
        task = asyncio.create_task(self._deliver(_check_url(url, self._hosts), webhook, 1))
        self._begun.add(task)
        task.add_done_callback(self._begun.discard)

    async def start(self) -> None:
        """Allow deliveries."""
        self._session = aiohttp.ClientSession(timeout=_TIMEOUT, cookie_jar=aiohttp.DummyCookieJar())

    async def stop(self) -> None:
        """End all deliveries. The subscribers stay."""
        session, self._session = self._session, None
        for one in self._subscribers.values():
            one.cancel()
        tasks = [*self._begun, *(task for one in self._subscribers.values() for task in one.tasks)]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if session is not None:
            await session.close()

    async def _deliver(self, url: URL, webhook: SignedWebhook, attempt: int) -> bool:
        status = await self._post(url, webhook, attempt)
        return status is not None and 200 <= status < 300

    async def _post(self, url: URL, webhook: SignedWebhook, attempt: int) -> int | None:
        """The status code; what else is in the response is not read. A redirect is not followed."""
        if self._session is None:
            raise ConnectionError("the sandbox is not running; start it before it sends webhooks")
        status: int | None = None
        with suppress(aiohttp.ClientError, OSError, TimeoutError):  # it is listed without a status code
            async with self._session.post(
                url, data=webhook.body, headers=webhook.headers, allow_redirects=False
            ) as response:
                status = response.status
        now = asyncio.get_running_loop().time()
        self._deliveries.append(Delivery(str(url), webhook.type, webhook.webhook_id, attempt, now, status))
        return status


class _Subscriber:
    """Delivers to one URL: first attempts one after the other, repetitions beside them."""

    def __init__(self, url: URL, rules: WebhookRules, post: Post) -> None:
        self.dropped = 0
        self.tasks: set[asyncio.Task[None]] = set()
        self._url = url
        self._rules = rules
        self._post = post
        self._waiting: deque[tuple[float, SignedWebhook]] = deque()
        self._arrived = asyncio.Event()
        self._is_serving = False

    def add(self, webhook: SignedWebhook) -> None:
        """Deliver an event when its time comes."""
        if len(self._waiting) + len(self.tasks) >= _MOST_WAITING:
            self.dropped += 1
            return
        self._waiting.append((asyncio.get_running_loop().time() + self._rules.delay, webhook))
        self._arrived.set()
        if not self._is_serving:
            self._is_serving = True
            self._begin(self._serve())

    def cancel(self) -> None:
        """Forget what is waiting, and end what has begun."""
        self._waiting.clear()
        for task in self.tasks:
            task.cancel()

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _serve(self) -> None:
        try:
            while self._waiting:
                for webhook in await self._take():
                    await self._deliver(webhook)
        finally:
            self._is_serving = False

    async def _take(self) -> list[SignedWebhook]:
        """The next event; or the next two, the later one first."""
        taken = [await self._take_one()]
        if self._rules.out_of_order:
            if not self._waiting:
                self._arrived.clear()
                try:
                    await asyncio.wait_for(self._arrived.wait(), _HOLD)
                except TimeoutError:
                    return taken
            taken.insert(0, await self._take_one())
        return taken

    async def _take_one(self) -> SignedWebhook:
        due, webhook = self._waiting.popleft()
        await asyncio.sleep(due - asyncio.get_running_loop().time())
        return webhook

    async def _deliver(self, webhook: SignedWebhook) -> None:
        if not await self._post(self._url, webhook, 1):
            self._begin(self._deliver_again(webhook))
            return
        for repeat in range(self._rules.repeats):
            await self._post(self._url, webhook, repeat + 2)

    async def _deliver_again(self, webhook: SignedWebhook) -> None:
        interval = self._rules.interval
        for retry in range(self._rules.retries):
            await asyncio.sleep(interval)
            if await self._post(self._url, webhook, retry + 2):
                return
            interval = min(interval * 2, _LONGEST_INTERVAL)


def _check_url(url: object, hosts: frozenset[str]) -> URL:
    hint = "use an address such as 'http://127.0.0.1:8000/webhooks'"
    try:
        parsed = URL(to_text(url) or "")
    except ValueError:
        raise reject_setting("url", url, hint) from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise reject_setting("url", url, hint)
    if not is_loopback(parsed.host) and parsed.host not in hosts:
        raise reject_setting(
            "url", url, f"webhooks are posted to loopback only, unless webhook_hosts contains {parsed.host!r}"
        )
    return parsed


def _check_list(hosts: object) -> list[object]:
    if isinstance(hosts, str) or not isinstance(hosts, Iterable):
        raise reject_setting("webhook_hosts", hosts, "it must be a list of host names")
    return list(cast("Iterable[object]", hosts))


def _check_host(host: object) -> str:
    text = to_text(host)
    try:
        same = text is not None and URL.build(scheme="http", host=text).host == text
    except ValueError:
        same = False
    if text is None or not same:
        raise reject_setting("webhook_hosts", host, "give host names alone, in lower case, such as 'app'")
    return text
