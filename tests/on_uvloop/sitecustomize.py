"""Python reads it at its start if this folder is on its PYTHONPATH: asyncio then runs on uvloop."""

import asyncio

import uvloop

asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
