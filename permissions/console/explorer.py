"""One run as the offline explorer shows it: the same page as `wardline trace export --html`.

The page brings its script with it, allowed by its hash; so this answer has a content policy of
its own. The log is verified for it, by the key beside the log: one at a time, since it reads all.
"""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
from starlette.responses import Response

from permissions.errors import BrokerError
from permissions.export.page import page_policy

if TYPE_CHECKING:
    from permissions.console.record import Record
    from permissions.console.visit import Visit

MAX_BYTES = 64 * 1024 * 1024
"""Of a page; what is longer is for the command line."""


class Explorer:
    """Makes the pages, one after the other."""

    def __init__(self) -> None:
        self._making = anyio.Lock()

    async def show(self, visit: Visit) -> Response:
        """The page of one run."""
        record, run = visit.parts.record, visit.request.path_params["run"]
        if record is None:
            return visit.told("There is no record", "Nothing is recorded here.", status=404)
        async with self._making:
            try:
                page = await anyio.to_thread.run_sync(_page, record, run)
            except BrokerError as err:
                return visit.told("It cannot be shown", str(err)[:300], status=404)
        if page is None:
            said = f"Write it to a file: wardline trace export --html run.html --run {run[:80]}"
            return visit.told("That is too much for a page", said, status=413)
        policy = f"{page_policy()}; frame-ancestors 'none'"
        return Response(
            page,
            media_type="text/html; charset=utf-8",
            headers={"content-security-policy": policy},
        )


def _page(record: Record, run: str) -> bytes | None:
    with tempfile.SpooledTemporaryFile(max_size=1 << 20) as file:
        record.write_explorer(file, run)
        if file.tell() > MAX_BYTES:
            return None
        file.seek(0)
        return file.read()
