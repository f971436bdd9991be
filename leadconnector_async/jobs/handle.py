"""A job as any process sees it, whoever runs it."""

from __future__ import annotations

import os
import time
from concurrent.futures import Executor
from functools import partial
from types import TracebackType
from typing import Self

from .._validation.settings import check_path
from .journal.counts import summarize
from .journal.progress import summarize_end
from .journal.writer import JournalWriter
from .places import FolderPlace, OpenedJob
from .report import check_folder, write_files, write_html
from .states import JobSummary


class JobHandle:
    """What can be done with a job from any process, also while others run it."""

    def __init__(self, opened: OpenedJob, thread: Executor) -> None:
        self._place = opened.place
        self._let_go = opened.let_go
        self._journal = JournalWriter(opened.journal, thread)
        self._closed = False

    @property
    def name(self) -> str:
        """What messages call the job: its folder, or its URL without user and password."""
        return self._place.name

    @property
    def folder(self) -> str | None:
        """The folder of the job; `None` if it is in a database."""
        return self._place.folder if isinstance(self._place, FolderPlace) else None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the journal. The job can be opened again."""
        await self._close(discard=False)

    async def summarize(self) -> JobSummary:
        """The state of the job, from its journal."""
        return await self._journal.run(summarize)

    async def write_report(
        self, folder: str | os.PathLike[str] | None = None, *, html: str | os.PathLike[str] | None = None
    ) -> None:
        """Write the outcome files and `report.html` again, also while the job runs.

        They go into `folder`, by default that of the job; `html` writes the HTML report alone, as this file. Raises
        `JournalError` if they cannot be written, and `ConfigurationError` if `folder` holds such files of others.
        """
        summary = await self._journal.run(partial(summarize_end, time.time()))
        if html is not None:
            path = check_path("html", html)
            await self._journal.run(partial(write_html, path, self._place.title, summary))
            return
        chosen = check_path("folder", self.folder if folder is None else folder)
        if chosen != self.folder:
            await self._journal.run(partial(check_folder, chosen))
        await self._journal.run(partial(write_files, chosen, self._place.title, summary))

    async def _close(self, *, discard: bool) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            await self._journal.close()
        except BaseException:
            self._let_go(discard=False)
            raise
        self._let_go(discard=discard)
