"""Rego text to syntax trees, by the engine's own parser."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from permissions.pdp.rego.reader import NotRegoError, UnknownNodeError, read_module
from permissions.pdp.regorus.errors import EngineError, engine_error
from permissions.pdp.regorus.templates import without_templates

if TYPE_CHECKING:
    from permissions.pdp.rego.ast import Module

MAX_COLUMNS = 1024
MAX_LINES = 20_000
"""Longest line and file of a policy. Set here so that they do not change with the engine's own
defaults; the engine itself is given room for what translation adds."""


def new_engine() -> Any:
    """An empty regorus engine with our limits."""
    # Read by the Rust runtime when the first error is made; with it, every error text
    # carries a native stack.
    os.environ.pop("RUST_BACKTRACE", None)
    import regorus

    engine = regorus.Engine()
    engine.set_policy_length_config(
        max_col=8 * MAX_COLUMNS, max_file_bytes=4_000_000, max_lines=MAX_LINES
    )
    return engine


_OPAQUE = re.compile(r'#[^\n]*|"(?:\\.|[^"\\\n])*"|`[^`]*`', re.DOTALL)
_KEYWORD_STEP = re.compile(
    r"(?<=[\w\])])\.(as|contains|default|else|every|false|if|import|in|not|null|package|some|true|with)\b"
)


def readable(text: str) -> str:
    """The text as the engine's parser takes it, meaning what it means to OPA.

    Steps of references that are keywords become texts (`a.default` is `a["default"]`), and
    templates become calls (see `templates`).
    """
    text = without_templates(text)
    parts, at = [], 0
    for found in _OPAQUE.finditer(text):
        parts += [_KEYWORD_STEP.sub(r'["\1"]', text[at : found.start()]), found.group()]
        at = found.end()
    return "".join((*parts, _KEYWORD_STEP.sub(r'["\1"]', text[at:])))


@lru_cache(maxsize=256)
def parse(path: str, text: str) -> Module:
    """The tree of one module.

    Raises:
        EngineError: the text does not parse, or holds what the reader does not know.
    """
    import msgspec  # keeps whole numbers of any size, in half the time; no evaluator parses

    engine = new_engine()
    try:
        engine.add_policy(path, readable(text))
        return read_module(msgspec.json.decode(engine.get_ast_as_json())[0])
    except UnknownNodeError as err:
        raise EngineError(f"error: the linter does not know {err}") from err
    except NotRegoError as err:
        at = f"{path}:{err.position.line}:{err.position.column}"
        raise EngineError(f"--> {at}\nerror: {err}") from err
    except BaseException as err:
        raise engine_error(err) from err
    finally:
        # It may be dropped in its own thread only; an error's traceback would hold it.
        del engine
