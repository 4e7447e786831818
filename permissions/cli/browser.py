"""`wardline trace browse`: a log in the terminal, by timeline, call, cause and effect, and search.

Everything recorded goes through the same escaping as on the command line, and into widgets as
plain text: markup, terminal escapes and letters that turn a line round stay letters.
"""

from __future__ import annotations

import json
import textwrap
import time
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from rich.text import Text
from textual.app import App
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Input, OptionList, Static
from textual.widgets.option_list import Option

from permissions.approval.text import literal, moment, visible
from permissions.cli.trace_answers_text import arguments_text, why_text
from permissions.errors import BrokerError, TraceError
from permissions.trace.call_filter import CallFilter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from textual.app import ComposeResult

    from permissions.inquiry.call_record import CallRecord
    from permissions.inquiry.questions import Inquiry
    from permissions.model import JsonObject
    from permissions.trace.report import Report

PAGE = 100
"""Calls that are listed at once; more come at the end of the list."""
_SLICE_SECONDS = 0.05
"""How long the list is filled before keys are looked at again."""
MOST_LETTERS = 20_000
"""Of one call's text; more come by a key."""
_FIELDS = ("run", "call", "tool", "subject", "approver", "rule", "outcome")
_COLUMNS = ("entry", "tool", "ended", "proof", "people", "arguments", "when")
_RAN = frozenset({"ok", "discarded"})
_BADGES = {"signed": "green", "consistent": "yellow", "unverified": "yellow"}
_INDENT = 14
"""Where the lines about a call go on, below their first word."""


class Wanted(NamedTuple):
    """What is looked for: fields that have to be so, and words that have to stand in a call."""

    fields: CallFilter
    words: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> Wanted:
        """From `tool=pay outcome=denied acme`."""
        fields: dict[str, Any] = {}
        words = []
        for each in text.split():
            name, equals, value = each.partition("=")
            if equals and name in _FIELDS:
                fields[name] = value
            else:
                words.append(each.casefold())
        return cls(CallFilter(**fields), tuple(words))

    def fits(self, call: CallRecord) -> bool:
        """Whether every word stands in what is said of a call."""
        if not self.words:
            return True
        said = json.dumps(call.summary(), ensure_ascii=False).casefold()
        return all(word in said for word in self.words)


class Choice(ModalScreen[str | None]):
    """Calls to go to."""

    BINDINGS: ClassVar = [Binding("escape", "dismiss(None)", "Back")]

    def __init__(self, title: str, calls: list[tuple[str, str]]) -> None:
        super().__init__()
        self._title, self._calls = title, calls

    def compose(self) -> ComposeResult:
        """A heading and the list."""
        with Vertical(id="choice"):
            yield Static(Text(self._title), classes="heading")
            yield OptionList(*(Option(Text(label)) for label, _ in self._calls))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Goes to the call that was chosen."""
        self.dismiss(self._calls[event.option_index][1])


class TraceBrowser(App[None]):
    """One log, read as far as it went when something was asked."""

    TITLE = "wardline trace"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #verdict { height: 1; padding: 0 1; background: $primary-background; }
    #search { display: none; }
    #search.open { display: block; }
    #calls { width: 3fr; min-width: 40; }
    #side { width: 4fr; border-left: solid $primary; padding: 0 1; }
    #status { height: 1; padding: 0 1; color: $text-muted; }
    Choice { align: center middle; }
    #choice { width: 90%; height: auto; max-height: 80%; border: round $primary; background: $surface; }
    .heading { padding: 0 1; text-style: bold; }
    """
    BINDINGS: ClassVar = [
        Binding("slash", "search", "Search"),
        Binding("p", "sources", "Where from"),
        Binding("b", "reached", "What it reached"),
        Binding("m", "more", "More text"),
        Binding("tab", "focus_next", "Other side", show=False),
        Binding("escape", "before", "Back"),
        Binding("q", "quit", "Quit"),
    ]

    def __init__(self, inquiry: Inquiry, *, name: str, verify: Callable[[], Report]) -> None:
        """`name` is the log's; `verify` verifies it, in a thread."""
        super().__init__()
        self._inquiry = inquiry
        self._origin = name
        self._verify = verify
        self._report: Report | None = None
        self._wanted = Wanted(CallFilter(), ())
        self._found: Iterator[CallRecord] = iter(())
        self._is_filling = False
        self._missing = 0
        self._seen = 0
        self._letters = MOST_LETTERS
        self._shown: str | None = None
        self._before: list[str] = []

    def compose(self) -> ComposeResult:
        """The verdict, the list, a call, and the keys."""
        yield Static(Text(f"{visible(self._origin)}  verifying..."), id="verdict")
        yield Input(
            placeholder="words, or " + " ".join(f"{name}=..." for name in _FIELDS), id="search"
        )
        with Horizontal():
            table: DataTable[Text] = DataTable(id="calls", cursor_type="row")
            table.zebra_stripes = True
            yield table
            with VerticalScroll(id="side"):
                yield Static(id="detail")
        yield Static(id="status")
        yield Footer()

    def on_mount(self) -> None:
        """Lists the calls, and has the log verified meanwhile."""
        table = self._table
        for name in _COLUMNS:
            table.add_column(name, key=name)
        table.focus()
        self._look()
        self.run_worker(self._verified, thread=True)

    @property
    def _table(self) -> DataTable[Text]:
        return self.query_one("#calls", DataTable)

    def _verified(self) -> None:
        try:
            report = self._verify()
        except BrokerError as err:
            said = Text(f"{visible(self._origin)}  cannot be verified: {visible(str(err))}")
            self.call_from_thread(self.query_one("#verdict", Static).update, said)
        else:
            self.call_from_thread(self._judge, report)

    def _judge(self, report: Report) -> None:
        """Says the verdict, on the log and on each row."""
        self._report = report
        whole = "whole" if report.completeness.is_whole else "not whole"
        failed = f" at entry {report.integrity.failed_at}" if not report.is_intact else ""
        said = f"{report.integrity.verdict}{failed}, {report.anchoring}, {whole}"
        style = "" if report.is_intact else "bold red"
        text = Text(f"{visible(self._origin)}  {said}", style=style)
        self.query_one("#verdict", Static).update(text)
        for key in self._table.rows:
            index = int(str(key.value).partition(" ")[0])
            self._table.update_cell(key, "proof", self._badge(index), update_width=True)

    def _badge(self, index: int) -> Text:
        if self._report is None:
            return Text("...")
        verdict = self._report.verdict_of(index)
        return Text(verdict, style=_BADGES.get(verdict, "red"))

    def _look(self) -> None:
        self._found = self._inquiry.calls(self._wanted.fields, newest_first=True)
        self._seen = 0
        self._table.clear()
        self._more_calls()

    def _more_calls(self) -> None:
        self._missing = PAGE
        if not self._is_filling:
            self._is_filling = True
            self._fill()

    def _fill(self) -> None:
        until = time.monotonic() + _SLICE_SECONDS
        ended, said = False, ""
        try:
            while self._missing and time.monotonic() < until:
                call = next(self._found, None)
                if call is None:
                    ended = True
                    break
                self._seen += 1
                if self._wanted.fits(call):
                    self._missing -= 1
                    cells = _cells(call, self._badge(call.index))
                    self._table.add_row(*cells, key=f"{call.index} {call.call}")
        except TraceError as err:
            ended, said = True, f"  {visible(str(err))}"
        self._is_filling = not ended and self._missing > 0
        if self._is_filling:
            self.set_timer(0.001, self._fill)
        rest = "looking on" if self._is_filling else "all" if ended else "more at the end"
        count = self._table.row_count
        self.query_one("#status", Static).update(
            Text(f"{count} calls of {self._seen} looked at, {rest}{said}")
        )

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Shows the call; at the end of the list, gets more."""
        if event.row_key.value is None:
            return
        self._show(event.row_key.value.partition(" ")[2])
        if event.cursor_row == self._table.row_count - 1 and self._seen:
            self._more_calls()

    def _show(self, call: str) -> None:
        if call != self._shown:
            self._letters = MOST_LETTERS
        self._shown = call
        try:
            said = "\n".join(_detail(self._inquiry, call))
        except TraceError as err:
            said = visible(str(err))
        except (KeyError, TypeError, ValueError, AttributeError) as err:
            said = f"what is recorded of it is not of its form ({type(err).__name__})"
        left = len(said) - self._letters
        if left > 0:
            said = f"{said[: self._letters]}\n... {left} more characters; m shows more"
        width = self.query_one("#side").content_size.width
        self.query_one("#detail", Static).update(_set_out(said, width))
        self.query_one("#side", VerticalScroll).scroll_home(animate=False)

    def action_more(self) -> None:
        """More of a long text."""
        if self._shown is not None:
            self._letters *= 4
            self._show(self._shown)

    def action_search(self) -> None:
        """Opens the line to look for something."""
        search = self.query_one("#search", Input)
        search.add_class("open")
        search.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Looks for it."""
        self._wanted = Wanted.of(event.value)
        self._look()
        self._table.focus()

    def action_before(self) -> None:
        """To the call before; else all calls again."""
        search = self.query_one("#search", Input)
        if self._before:
            self._show(self._before.pop())
        elif search.has_class("open"):
            search.remove_class("open")
            search.value = ""
            self._wanted = Wanted(CallFilter(), ())
            self._look()
            self._table.focus()

    def action_sources(self) -> None:
        """The calls its arguments came from."""
        if self._shown is None:
            return
        found = self._inquiry.call(self._shown).provenance
        sites = [
            (f"{visible(pointer)} from {_site(leaf['from'])}", str(leaf["from"]["call"]))
            for pointer, leaf in found.items()
            if leaf.get("from")
        ]
        self._choose("Where its arguments came from", sites)

    def action_reached(self) -> None:
        """The calls that values of it reached."""
        if self._shown is None:
            return
        found = self._inquiry.blast(self._shown)
        self._choose("What its values reached", [_line(each) for each in found["reached"]])

    def _choose(self, title: str, calls: list[tuple[str, str]]) -> None:
        if not calls:
            self.notify(f"{title}: no call", markup=False)
            return
        self.push_screen(Choice(title, calls), self._go_to)

    def _go_to(self, call: str | None) -> None:
        if call is not None:
            self._before.append(str(self._shown))
            self._show(call)


def _set_out(said: str, width: int) -> Text:
    """Lines broken below where their text begins, their first words in colour."""
    text = Text()
    for number, line in enumerate(said.split("\n")):
        rest = textwrap.wrap(
            line,
            max(width - 3, 2 * _INDENT),
            subsequent_indent=" " * _INDENT,
            replace_whitespace=False,
            drop_whitespace=False,
        )
        start = len(text)
        text.append("\n".join(rest or [""]) + "\n")
        if not number:
            text.stylize("bold", start)
        elif line[2:4].strip() or line[4:6].strip():
            text.stylize("cyan", start, start + _INDENT)
    return text


def _cells(call: CallRecord, badge: Text) -> list[Text]:
    ended = call.ended
    colour = "green" if ended in _RAN else "yellow" if ended in ("open", "unknown") else "red"
    return [
        Text(str(call.index), justify="right"),
        Text(visible(call.tool or "(not registered)")),
        Text(visible(ended), style=colour),
        badge,
        Text(visible(", ".join(call.approvers))),
        Text(arguments_text(call.summary()["arguments"], 40)),
        Text(moment(call.time).removesuffix(" UTC")),
    ]


def _site(site: JsonObject) -> str:
    return f"{visible(str(site['call']))}, entry {site['entry']}"


def _line(call: JsonObject) -> tuple[str, str]:
    tool = visible(call["tool"] or "(not registered)")
    arguments = arguments_text(call["arguments"], 40)
    return f"{call['index']}  {tool}({arguments})  {visible(call['end'])}", str(call["call"])


def _detail(inquiry: Inquiry, name: str) -> Iterator[str]:
    """All that is recorded of a call, and the diffs of what it changed."""
    yield from why_text(inquiry.why(name), full=True)
    call = inquiry.call(name)
    for entry in call.entries:
        if "diff" in entry.digests:
            yield f"  diff        entry {entry.index}"
            diff = call.contents.text(entry, "diff")
            lines = diff.split("\n") if isinstance(diff, str) else [literal(diff.document())]
            yield from (f"    {visible(line)}" for line in lines)
