"""The sandbox's page in Chromium: `pytest tests/browser/page.py`, with the extra `browser` and Debian's `chromium`.

Not a part of the default run, because that does without a browser.
"""

import re
import time
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, expect

from leadconnector_async import AppointmentUpdate, LeadConnector, RateLimit, RetryPolicy
from leadconnector_async.sandbox import Limits, Sandbox

from .chromium import OpenPage

pytestmark = pytest.mark.asyncio(loop_scope="module")
MARKUP = '<img src="x" onerror="document.title=1"><script>document.title=2</script>'
QUICK = RetryPolicy(backoff_base=0.01, backoff_cap=0.02)


@pytest_asyncio.fixture(loop_scope="module")
async def clinic() -> AsyncIterator[Sandbox]:
    async with Sandbox(appointments=60, locations=2) as sandbox:
        yield sandbox


@pytest_asyncio.fixture(loop_scope="module")
async def caller(clinic: Sandbox) -> AsyncIterator[LeadConnector]:
    async with LeadConnector(
        clinic.token,
        base_url=clinic.url,
        location_id=clinic.location_id,
        retry=QUICK,
        rate_limit=RateLimit(max_requests=1000),
    ) as client:
        yield client


def find_event(page: Page, event_id: str) -> Locator:
    return page.locator(f'.event[data-id="{event_id}"]')


async def read_top(event: Locator) -> float:
    """Where it is on the page's clock."""
    return float(await event.evaluate("one => one.parentElement.style.getPropertyValue('--start')"))


async def move(caller: LeadConnector, sandbox: Sandbox, event_id: str, by: timedelta) -> None:
    known = sandbox.appointment(event_id)
    await caller.update_appointment(
        event_id,
        AppointmentUpdate(
            start_time=known.start_time + by,
            end_time=known.end_time + by,
            assigned_user_id=known.assigned_user_id,
            ignore_free_slot_validation=True,
        ),
    )


async def test_an_appointment_that_is_moved_moves_on_the_page(
    clinic: Sandbox, caller: LeadConnector, open_page: OpenPage
) -> None:
    """Within a second of the client's call; at least once in three, since the machine has other things to do."""
    page = await open_page(clinic.url)
    event_id = clinic.appointment_ids[0]
    event = find_event(page, event_id)
    await expect(event.locator("time")).to_have_text("08:00")
    before, took = await read_top(event), []
    for text in ("11:00", "14:00", "17:00"):
        began = time.monotonic()
        await move(caller, clinic, event_id, timedelta(hours=3))
        await expect(event.locator("time")).to_have_text(text)
        took.append(time.monotonic() - began)
    assert await read_top(event) == before + 540
    assert min(took) < 1


async def test_an_appointment_goes_to_its_new_day_person_and_back(
    clinic: Sandbox, caller: LeadConnector, open_page: OpenPage
) -> None:
    """It leaves the board, both days are counted anew, and the board of the other day has it."""
    page = await open_page(clinic.url)
    event_id = clinic.appointment_ids[0]
    first, second = "2027-03-10", "2027-03-17"
    await expect(page.locator(f'[data-day="{first}"] .number')).to_have_text("60")
    await move(caller, clinic, event_id, timedelta(days=7))
    await expect(find_event(page, event_id)).to_have_count(0)
    await expect(page.locator(f'[data-day="{first}"] .number')).to_have_text("59")
    await page.locator(f'[data-day="{second}"] button').click()
    await expect(page.locator("#day-title")).to_have_text("Wednesday, 17 March 2027")
    await expect(find_event(page, event_id)).to_have_count(1)
    known = clinic.appointment(event_id)
    team = clinic.store.calendars[known.calendar_id].team
    column = page.locator(".column").filter(has=find_event(page, event_id))
    name = await column.get_attribute("aria-label")
    await caller.update_appointment(event_id, AppointmentUpdate(assigned_user_id=team[1]))
    await expect(column).not_to_have_attribute("aria-label", name or "")
    clinic.delete_appointment(event_id)
    await expect(find_event(page, event_id)).to_have_count(0)


async def test_rooms_and_zones_can_be_chosen(clinic: Sandbox, open_page: OpenPage) -> None:
    """A column for each room; one clock for all calendars instead of their own."""
    page = await open_page(clinic.url)
    calendars = {one.id: one for one in clinic.store.calendars.values() if one.zone == "Asia/Kolkata"}
    overseas = next(one for one in clinic.appointment_ids if clinic.appointment(one).calendar_id in calendars)
    await expect(find_event(page, overseas).locator("time")).to_have_text("08:00")
    await page.get_by_role("button", name="Rooms").click()
    room = clinic.appointment(overseas).address
    await expect(
        page.get_by_role("region", name=room, exact=True).locator(f'[data-id="{overseas}"]')
    ).to_have_count(1)
    await page.get_by_label("Time zone").select_option("UTC")
    await expect(find_event(page, overseas).locator("time")).to_have_text("02:30")


async def test_a_fault_that_is_asked_for_meets_the_next_request(
    clinic: Sandbox, caller: LeadConnector, open_page: OpenPage
) -> None:
    """The response is lost, the client finds out, and the log shows all of it; what is planned can be removed."""
    page = await open_page(clinic.url)
    await page.get_by_role("button", name=re.compile("Lose the response")).click()
    await expect(page.locator("#planned")).to_have_text(re.compile("update_appointment *lose-response"))
    await caller.update_appointment(clinic.appointment_ids[0], AppointmentUpdate(title="Found out"))
    await expect(page.locator("#planned li")).to_have_count(0)
    lost = page.locator("#log li").filter(has_text="lost")
    await expect(lost).to_have_count(1)
    await expect(lost.locator(".chip.fault")).to_have_text("lose-response")
    assert clinic.requests.count_applied(clinic.appointment_ids[0]) == 1
    await page.get_by_label("With the next").select_option("get_appointment")
    await page.get_by_role("button", name=re.compile("^503 ")).click()
    await expect(page.locator("#planned li")).to_have_count(1)
    assert [*clinic.faults.unused()] == ["get_appointment"]
    await page.get_by_role("button", name="Remove the planned faults").click()
    await expect(page.locator("#planned li")).to_have_count(0)
    assert clinic.faults.unused() == {}


async def test_the_log_can_be_filtered_and_held(
    clinic: Sandbox, caller: LeadConnector, open_page: OpenPage
) -> None:
    """By text, result, operation and location; while it is held, nothing moves."""
    page = await open_page(clinic.url)
    first, second = clinic.appointment_ids[:2]
    await caller.get_appointment(first)
    await caller.update_appointment(second, AppointmentUpdate(title="Needle"))
    other = clinic.location_ids[1]
    async with LeadConnector(
        clinic.issue_token(location_id=other), base_url=clinic.url, location_id=other
    ) as elsewhere:
        await elsewhere.get_appointment(clinic.find_appointment_ids(other)[0])
    rows = page.locator("#log li")
    await expect(rows).to_have_count(3)
    await page.get_by_label("Contains").fill("needle")
    await expect(rows).to_have_count(1)
    await page.get_by_label("Contains").fill("")
    await page.get_by_label("Operation", exact=True).select_option("get_appointment")
    await expect(rows).to_have_count(2)
    await page.get_by_label("This location only").check()
    await expect(rows).to_have_count(1)
    await page.get_by_label("Operation", exact=True).select_option("")
    await page.get_by_label("Result").select_option("changed")
    await expect(rows.locator(".operation")).to_have_text(["update_appointment"])
    await rows.locator("summary").click()
    await expect(rows.locator("pre")).to_contain_text('"title":"Needle"')
    await page.get_by_role("button", name="Hold").click()
    await caller.update_appointment(second, AppointmentUpdate(title="Another"))
    await expect(page.locator("#log-count")).to_have_text("1 shown of 4 requests, held")
    await page.get_by_role("button", name="Hold").click()
    await expect(rows).to_have_count(2)


async def test_the_clock_is_set_forward(clinic: Sandbox, open_page: OpenPage) -> None:
    """The page's and the sandbox's own."""
    page = await open_page(clinic.url)
    clock = page.locator("#clock")
    await expect(clock).to_have_text("Wed, 3 Mar 2027, 00:00:00 UTC")
    await page.get_by_role("button", name="Advance the clock by 1 hour").click()
    await expect(clock).to_have_text("Wed, 3 Mar 2027, 01:00:00 UTC")
    await page.get_by_role("button", name="Advance the clock by 1 day").click()
    await expect(clock).to_have_text("Thu, 4 Mar 2027, 01:00:00 UTC")


async def test_a_limit_fills_pauses_and_is_free_again(
    clinic: Sandbox, caller: LeadConnector, open_page: OpenPage
) -> None:
    """Of its own location only."""
    clinic.limits = Limits(max_requests=4, interval=600.0)
    page = await open_page(clinic.url)
    meters = page.get_by_role("meter")
    await caller.get_appointment(clinic.appointment_ids[0])
    await expect(meters.nth(0)).to_have_attribute("aria-valuenow", "1")
    for _ in range(3):
        await caller.get_appointment(clinic.appointment_ids[0])
    await expect(page.locator("#limits .state").nth(0)).to_have_text("Full for 10 min")
    await expect(meters.nth(1)).to_have_attribute("aria-valuenow", "0")
    clinic.advance(600)
    await expect(page.locator("#limits .state").nth(0)).to_have_text("")
    await expect(meters.nth(0)).to_have_attribute("aria-valuenow", "0")


async def test_markup_is_shown_as_text(clinic: Sandbox, caller: LeadConnector, open_page: OpenPage) -> None:
    """In the board, the details, the log, the columns and the names of rooms."""
    page = await open_page(clinic.url)
    event_id = clinic.appointment_ids[0]
    await caller.update_appointment(event_id, AppointmentUpdate(title=MARKUP))
    clinic.edit_appointment(event_id, address=MARKUP)
    await expect(find_event(page, event_id).locator(".title")).to_have_text(MARKUP)
    await expect(page.locator("#log .what").first).to_contain_text(MARKUP)
    await page.locator("#log summary").first.click()
    await page.get_by_role("button", name="Rooms").click()
    await expect(page.locator(".column .name").filter(has_text="<img")).to_have_text(MARKUP)
    await find_event(page, event_id).click()
    await expect(page.locator("#details-title")).to_have_text(MARKUP)
    assert await page.locator("img:not(h1 img), body script").count() == 0
    assert await page.title() == "Sandbox"


async def test_the_keyboard_is_enough(clinic: Sandbox, open_page: OpenPage) -> None:
    """One stop for the board; arrows move in it, Enter opens, Escape closes, and the focus is where it was."""
    page = await open_page(clinic.url)
    await expect(page.locator(".event").first).to_be_visible()
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the calendar")).to_be_focused()
    await page.locator('.event[tabindex="0"]').focus()
    await page.keyboard.press("ArrowDown")
    await expect(page.locator(".event:focus time")).to_have_text("08:15")
    await page.keyboard.press("ArrowRight")
    await expect(page.locator(".column").nth(1).locator(".event:focus time")).to_have_text("08:15")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_be_hidden()
    await expect(page.locator(".column").nth(1).locator(".event:focus time")).to_have_text("08:15")


async def test_everything_that_can_be_pressed_has_a_name(clinic: Sandbox, open_page: OpenPage) -> None:
    """For those who do not see it."""
    page = await open_page(clinic.url)
    await expect(page.locator(".event").first).to_be_visible()
    unnamed = await page.evaluate(
        """() => [...document.querySelectorAll("button, select, input, [role=meter]")].filter((one) =>
          !one.getAttribute("aria-label") && !one.textContent.trim() && !one.labels?.[0]?.textContent.trim()
        ).map((one) => one.outerHTML)"""
    )
    assert unnamed == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
async def test_it_fits(clinic: Sandbox, open_page: OpenPage, width: int, scheme: str) -> None:
    """The page itself never scrolls sideways, on a phone as on a desk; the board does."""
    page = await open_page(clinic.url, width=width, scheme=scheme)
    await expect(page.locator(".event").first).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth") == width


async def test_a_reset_starts_again(clinic: Sandbox, caller: LeadConnector, open_page: OpenPage) -> None:
    """After the button was pressed twice; the page shows the seeded state and an empty log."""
    page = await open_page(clinic.url)
    event_id = clinic.appointment_ids[0]
    await caller.update_appointment(event_id, AppointmentUpdate(title="Changed"))
    await expect(find_event(page, event_id).locator(".title")).to_have_text("Changed")
    await page.get_by_role("button", name="Reset the sandbox").click()
    await page.get_by_role("button", name="Press again to reset it").click()
    await expect(find_event(page, event_id).locator(".title")).to_have_text("Check-up")
    await expect(page.locator("#log li")).to_have_count(0)


async def test_somebody_else_cancels_and_deletes(clinic: Sandbox, open_page: OpenPage) -> None:
    """With the buttons of the details; the sandbox has it, without a request in its log."""
    page = await open_page(clinic.url)
    event_id = clinic.appointment_ids[0]
    await find_event(page, event_id).click()
    await page.get_by_role("button", name="Cancel as somebody else").click()
    await expect(find_event(page, event_id)).to_have_class(re.compile("cancelled"))
    await find_event(page, event_id).click()
    await page.get_by_role("button", name="Delete as somebody else").click()
    await expect(find_event(page, event_id)).to_have_count(0)
    assert clinic.appointment(event_id).deleted
    assert len(clinic.requests) == 0
