"""Other spellings of a value: the same thing written otherwise, and look-alikes of what is listed.

A *respelling* names what the value names, or is likely to where the tool is lenient: what a
policy says of one it should say of the other. A *look-alike* of a listed value is not listed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.model import JsonValue

_FULLWIDTH = str.maketrans({chr(c): chr(c + 0xFEE0) for c in range(0x21, 0x7F)})


def respellings(value: JsonValue, *, exact: bool = False) -> Iterator[JsonValue]:
    """The same value, written otherwise.

    Args:
        value: any JSON value.
        exact: whether a space more makes it another, as in paths and programs.
    """
    if isinstance(value, str) and value:
        yield from _of_text(value)
        if not exact:
            yield from _of_words(value)
    elif isinstance(value, list) and value:
        for at, each in enumerate(value):
            for other in respellings(each, exact=exact):
                yield [*value[:at], other, *value[at + 1 :]]
    elif isinstance(value, bool) or value is None:
        return
    elif isinstance(value, int):
        yield float(value)
        yield str(value)


def _of_text(text: str) -> Iterator[str]:
    yield from (text.upper(), text.lower(), text.swapcase(), text.title())
    if "/" in text and "://" not in text:
        head, _, tail = text.rpartition("/")
        yield from (text.replace("/", "//"), text.replace("/", "/./"), f"{head}/x/../{tail}")
    elif "://" not in text:
        yield f"./{text}"


def _of_words(text: str) -> Iterator[str]:
    yield from (f" {text}", f"{text} ", f"\t{text}", f"{text}\n", f"{text}\u200b")
    yield from (text.replace(" ", "  "), text.replace(" ", "\t"), text.replace(" ", "/**/"))
    yield text.translate(_FULLWIDTH)
    if "://" in text:
        scheme, _, rest = text.partition("://")
        host, slash, path = rest.partition("/")
        yield f"{scheme.upper()}://{rest}"
        yield f"{scheme}://{host}.{slash}{path}"
        yield f"{scheme}://user@{rest}"
        yield f"{scheme}://{host.upper()}{slash}{path}"
    if "@" in text:
        local, _, domain = text.partition("@")
        yield from (f"{local}@{domain.upper()}", f"{local}@{domain}.", f"{local}+tag@{domain}")
    if text.replace(".", "", 1).isdigit():
        yield f"0{text}"
        yield f"{text}0" if "." in text else f"{text}.0"
        yield text.rstrip("0").rstrip(".") if "." in text else f"{text}.00"


def look_alikes(listed: str) -> Iterator[str]:
    """Values that are not the listed one, and that a careless comparison takes for it."""
    if "://" in listed:
        scheme, _, rest = listed.partition("://")
        host = rest.partition("/")[0]
        yield from (f"{scheme}://{other}/" for other in _names(host))
        yield f"{scheme}://{host}@evil.example/"
    elif "@" in listed:
        local, _, domain = listed.partition("@")
        yield from (f"{local}@{other}" for other in _names(domain))
        yield f"{listed},evil@evil.example"
    elif listed.startswith("/"):
        base = listed.rstrip("/")
        yield f"{base}-evil/x"
        yield f"{base}evil"
        yield f"{base}/../evil"
    else:
        yield from (f"{listed}x", f"x{listed}", f"{listed} x")
        if "." in listed:
            yield from _names(listed)


def _names(name: str) -> Iterator[str]:
    yield f"evil{name}"
    yield f"{name}.evil.example"
    yield f"{name}evil.example"
    yield name.replace(".", "x", 1)
    yield f"evil.example.{name.partition('.')[2] or 'example'}x"
