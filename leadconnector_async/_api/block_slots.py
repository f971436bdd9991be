"""Update block slots, and read them."""

from __future__ import annotations

from typing import Final

from ..inputs import Payload
from ..models import BlockSlot, BlockSlotUpdate
from .lists import build_inner_reader
from .operations import EVENTS, creates, updates
from .request import Request, encode_id, encode_payload
from .validate import check_block_slot_update

_BLOCK_SLOTS: Final = f"{EVENTS}/block-slots"
CREATE_BLOCK_SLOT: Final = creates("create_block_slot", _BLOCK_SLOTS)
UPDATE_BLOCK_SLOT: Final = updates("update_block_slot", f"{_BLOCK_SLOTS}/{{}}", harmless=True)


read_block_slot: Final = build_inner_reader(BlockSlot)


def build_update_block_slot(
    event_id: str, block_slot: Payload[BlockSlotUpdate], location_id: str | None
) -> Request[BlockSlot]:
    """Check and encode the change of a block slot."""
    operation = UPDATE_BLOCK_SLOT
    body = encode_payload(check_block_slot_update(block_slot, location_id))
    return Request(operation, operation.path.format(encode_id(event_id)), body, read_block_slot, asked_id=event_id)
