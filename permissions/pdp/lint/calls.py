"""Findings about calls: what is called, with what, and what is compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.pdp.rego.ast import rule_statements, rule_terms, string_constant
from permissions.pdp.rego.finding import Finding
from permissions.pdp.rego.signatures import BUILTINS
from permissions.pdp.rego.types import assigned, kinds_of, may_be
from permissions.pdp.regorus.builtins import BANNED
from permissions.pdp.regorus.forms import iterates_over_walk, output_argument
from permissions.pdp.regorus.glob import compile_glob
from permissions.pdp.regorus.regexes import compile_regex

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from permissions.pdp.rego.ast import Module, Rule, Term
    from permissions.pdp.rego.names import Names

MAX_RANGE = 10_000

_INSTEAD = {
    "http.send": "put what the decision needs into the input or into data/",
    "net.lookup_ip_addr": "use targets[].address_class of the input",
    "net.cidr_expand": "use net.cidr_contains",
    "opa.runtime": "use input.context.environment",
    "rand.intn": "a decision must be the same when it is made again",
    "time.now_ns": "use input.context.time",
    "uuid.rfc4122": "a decision must be the same when it is made again",
    "print": "keep it to *_test.rego",
}


def check_calls(module: Module, rule: Rule, names: Names) -> Iterator[Finding]:
    """Findings about every call and comparison of a rule."""
    locals_ = assigned(rule)
    walks = {
        id(call)
        for statement in rule_statements(rule)
        if (call := iterates_over_walk(statement, rule))
    }
    outputs = {
        id(statement.terms[0])
        for statement in rule_statements(rule)
        if statement.kind == "expression" and output_argument(module, statement.terms[0], names)
    }
    lines = {id(s.terms[0]) for s in rule_statements(rule) if s.kind in ("expression", "not")}
    for term in rule_terms(rule):
        if term.kind == "call":
            if term.value == "walk" and len(term.terms) == 2 and id(term) not in lines:
                yield _nested_walk(module, term)
            elif id(term) not in walks:
                extra = id(term) in outputs
                yield from _call(module, term, names, locals_, extra=extra)
        elif term.kind == "infix" and term.value in ("==", "!=", "=", ":="):
            one, other = (kinds_of(side, locals_) for side in term.terms)
            if term.value != ":=" and not may_be(one, other):
                yield Finding(
                    module.path,
                    term.position,
                    "rego.never_equal",
                    f"a {_words(one)} is compared with a {_words(other)}",
                    "compare values of one kind",
                )


def _words(kinds: frozenset[str]) -> str:
    return " or ".join(sorted(kinds))


def _call(
    module: Module, term: Term, names: Names, locals_: Mapping[str, Term], *, extra: bool
) -> Iterator[Finding]:
    def finding(code: str, what: str, fix: str) -> Finding:
        return Finding(module.path, term.position, code, what, fix)

    name: str = term.value
    given = len(term.terms) - extra
    if rules := names.called(module, name):
        wanted = {len(rule.arguments) for rule in rules if rule.arguments}
        if not wanted:
            yield finding(
                "rego.unknown_function", f"`{name}` is no function", "name it plainly"
            )
        elif given not in wanted:
            yield _arity(finding, name, given, wanted)
    elif names.resolve_name(module, name) is not None:
        yield finding("rego.unknown_function", f"`{name}` is no function", "name it plainly")
    elif name in BANNED or name in _INSTEAD:
        fix = _INSTEAD[name]
        yield finding("rego.banned_function", f"`{name}` is not available to policies", fix)
    elif name == "__opa_template":
        return  # what the parser was given for `$"... {x}"`
    elif name not in BUILTINS:
        fix = "use one of those in permissions/pdp/rego/builtins.json, which were compared with OPA"
        yield finding("rego.unknown_function", f"policies have no function `{name}`", fix)
    else:
        yield from _builtin(finding, term, given, locals_)


def _builtin(
    finding: _Maker, term: Term, given: int, locals_: Mapping[str, Term]
) -> Iterator[Finding]:
    name: str = term.value
    signature = BUILTINS[name]
    if name == "walk" and given == 1:
        yield finding(
            "rego.walk",
            "`walk` as a value is an array here, over which nothing iterates as in OPA",
            "write `walk(x, [path, value])`, or `[path, value] := walk(x)` with new names",
        )
        return
    wanted = {2} if name == "walk" else {len(signature.arguments)}
    if given not in wanted:
        yield _arity(finding, name, given, wanted)
        return
    for at, (argument, kinds) in enumerate(
        zip(term.terms, signature.arguments, strict=False), 1
    ):
        found = kinds_of(argument, locals_)
        if not may_be(found, kinds):
            what = f"argument {at} of `{name}` is a {_words(found)}"
            yield finding("rego.argument_kind", what, f"it takes a {_words(kinds)}")
    yield from _constants(finding, name, term.terms)


def _nested_walk(module: Module, term: Term) -> Finding:
    return Finding(
        module.path,
        term.position,
        "rego.walk",
        "`walk(x, [path, value])` is no value",
        "write it as a line of its own",
    )


def _arity(finding: _Maker, name: str, given: int, wanted: set[int]) -> Finding:
    count = " or ".join(map(str, sorted(wanted)))
    what = f"`{name}` is given {given} argument(s)"
    return finding("rego.arity", what, f"it takes {count}")


def _constants(finding: _Maker, name: str, terms: tuple[Term, ...]) -> Iterator[Finding]:
    if name == "glob.match":
        yield from _glob(finding, terms)
    elif name.startswith("regex.") and (pattern := string_constant(terms[0])) is not None:
        try:
            compile_regex(pattern)
        except ValueError as err:
            yield finding("rego.regex_pattern", f"{err}", "write it in RE2 syntax")
    elif name == "numbers.range":
        bounds = [t.value for t in terms if t.kind == "number"]
        if len(bounds) != 2 or abs(bounds[0] - bounds[1]) > MAX_RANGE:
            yield finding(
                "rego.unbounded_range",
                "the length of `numbers.range` is not a small constant",
                f"give two literals at most {MAX_RANGE:,} apart, or iterate over what is there",
            )


def _glob(finding: _Maker, terms: tuple[Term, ...]) -> Iterator[Finding]:
    pattern = string_constant(terms[0])
    if pattern is None:
        return
    delimiters = tuple(filter(None, map(string_constant, terms[1].terms)))
    try:
        compile_glob(pattern, delimiters)
    except ValueError as err:
        yield finding(
            "rego.glob_pattern",
            f"the engines disagree on this pattern: {err}",
            "write it apart",
        )


if TYPE_CHECKING:
    from collections.abc import Callable

    _Maker = Callable[[str, str, str], Finding]
