"""Makes HTML of templates: what a value becomes in a page is decided here, once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from permissions.approval.text import moment
from permissions.console import shown_text
from permissions.console.roles import Right, Role, may

if TYPE_CHECKING:
    from permissions.console.sign_ins import Session

_PAGES: tuple[tuple[str, str, str, Right], ...] = (
    ("inbox", "/inbox", "Inbox", "inbox"),
    ("grants", "/grants", "Remembered", "grants"),
    ("doubts", "/doubts", "In doubt", "doubts"),
    ("runs", "/runs", "Runs", "runs"),
    ("stop", "/stop", "Stop", "stop"),
    ("policies", "/policies", "Policies", "policies"),
    ("operations", "/operations", "Operations", "runs"),
)


class Pages:
    """The templates, loaded once.

    Filters: `line` for a raw text, `ready` for one whose unseen characters are escapes already
    (`permissions.approval.text`), `json` for a raw value, `moment` for a time.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._environment = Environment(
            loader=PackageLoader("permissions.console"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(
            line=shown_text.line,
            ready=shown_text.marked,
            ready_lines=_lines,
            json=lambda value: shown_text.value(value).html,
            moment=moment,
            clock=lambda micros: moment(micros)[11:19],
        )

    def html(
        self, template: str, session: Session | None, token: str, current: str, /, **values: Any
    ) -> str:
        """A whole page.

        Args:
            template: its file.
            session: of whom it is for, if they are signed in.
            token: for its forms.
            current: which page of the navigation it belongs to.
            **values: what it is about.
        """
        return self._environment.get_template(template).render(
            at=self._prefix,
            session=session,
            token=token,
            current=current,
            pages=() if session is None else _pages(session.role),
            **values,
        )


def _pages(role: Role) -> list[tuple[str, str, str]]:
    return [page[:3] for page in _PAGES if may(role, page[3])]


def _lines(text: str) -> Markup:
    r"""A text whose line breaks are written as `\n`, with its lines."""
    lines = re.split(r"(?<!\\)(?:\\\\)*\\n", text)
    return Markup("\n").join(map(shown_text.marked, lines))
