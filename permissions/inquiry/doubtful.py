"""A recorded call whose end nobody knows, by what makes it the same when it is asked again."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from permissions.approval.resolution import DoubtfulCall
from permissions.errors import ConfigError
from permissions.execution.journal import JournalKey
from permissions.inquiry.contents import Closed
from permissions.model import Digest
from permissions.signing.canonical import digest

if TYPE_CHECKING:
    from permissions.inquiry.call_record import CallRecord


class Doubtful(NamedTuple):
    """What the journal knows it by, and what a person's answer is about."""

    key: JournalKey
    about: DoubtfulCall


def doubtful(record: CallRecord) -> Doubtful:
    """The call, if a person can resolve it.

    Raises:
        ConfigError: its end is known or not known to be unknown, it has no key, or its contents
            cannot be opened.
    """
    if record.start is None or record.last is None or record.last.type != "gap":
        raise ConfigError(
            f"{record.call[:80]} is not in doubt: it may still run, or its end is on record"
        )
    if "key" not in record.intent.digests:
        raise ConfigError(f"{record.call[:80]} has no key, so nothing waits for its end")
    if (key := key_of(record)) is None:
        raise ConfigError(f"the contents of {record.call[:80]} cannot be opened here")
    named = digest(key.call.encode(errors="surrogatepass"))
    about = DoubtfulCall(record.call, record.run, named, key.tool_digest, key.args_digest)
    return Doubtful(key, about)


def key_of(record: CallRecord) -> JournalKey | None:
    """What makes a call the same when it is asked again; None when that cannot be read."""
    intent = record.intent
    key, arguments = (record.contents.data(intent, name) for name in ("key", "arguments"))
    if isinstance(key, Closed) or isinstance(arguments, Closed):
        return None
    tool = Digest(str(intent.body.get("tool_digest")))
    named = key.decode(errors="surrogatepass")
    return JournalKey(record.run, named, tool, digest(arguments))
