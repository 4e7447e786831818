"""From syntax trees to flat lines: names told apart, calls taken out of terms.

    x := f(input.a)[_]        __0 = f(input.a); x = __0[_]

What stands in a negated line is taken out before it, and so has to have a value. One class with
a method for each form of the language: they call one another in a circle, so it is one module,
and longer than others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.pdp.compiler.form import (
    COLLECTIONS,
    EQUALITY,
    GENERATED,
    ROOTS,
    Clause,
    Every,
    Line,
    Node,
    line_variables,
    needs_evaluation,
    reference,
    string,
    variable,
    variables,
)
from permissions.pdp.compiler.scopes import Scopes
from permissions.pdp.rego.ast import static_path
from permissions.pdp.rego.finding import Finding
from permissions.pdp.rego.signatures import BUILTINS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from permissions.pdp.rego.ast import Module, Position, Rule, Statement, Term
    from permissions.pdp.rego.names import Names

_OPERATORS = {
    "==": "equal",
    "!=": "neq",
    "<": "lt",
    "<=": "lte",
    ">": "gt",
    ">=": "gte",
    "+": "plus",
    "-": "minus",
    "*": "mul",
    "/": "div",
    "%": "rem",
    "|": "or",
    "&": "and",
    "=": EQUALITY,
}
TEMPLATE = "__opa_template"
_AGAIN = {
    "read": "is read above",
    "assigned": "is assigned above",
    "declared": "is declared above",
    "argument": "is an argument",
}


def lower(
    module: Module, rule: Rule, names: Names, findings: list[Finding]
) -> Iterator[Clause]:
    """The clauses of a rule: one for each body. What cannot be lowered is found."""
    bodies = rule.bodies or ((),)
    values = rule.clause_values
    for body, value in zip(bodies, values, strict=True):
        yield _Lowering(module, names, findings).clause(rule, body, value)


class _Lowering:
    """Lowers one clause."""

    def __init__(self, module: Module, names: Names, findings: list[Finding]) -> None:
        self._module = module
        self._names = names
        self._findings = findings
        self._scopes = Scopes()

    def clause(self, rule: Rule, body: Sequence[Statement], value: Term | None) -> Clause:
        arguments = [self._argument(each) for each in rule.arguments]
        lines: list[Line] = []
        for statement in body:
            self._statement(statement, lines)
        given = Node("boolean", True) if value is None else self._term(value, lines)  # noqa: FBT003
        if rule.kind == "default" and value is not None and not _is_plain(value):
            self._find(value, "rego.default_value", "a default is computed")
        path = [self._out(each, rule.position, lines) for each in self._absolute(rule, lines)]
        given = self._out(given, rule.position, lines)
        taken = [self._out(each, rule.position, lines) for each in arguments]
        collected = {
            name for node in (given, *path, *taken) for name in variables(node, closures=True)
        }
        self._unused(lines, collected, rule.position)
        return Clause(
            rule.position, tuple(path), tuple(taken), given, rule.kind == "set", tuple(lines)
        )

    def _absolute(self, rule: Rule, lines: list[Line]) -> list[Node]:
        steps = [self._term(step, lines) for step in rule.head.terms[1:]]
        # A collection as a key is a local to OPA, so that its kind is known and not its value.
        steps = [
            self._local(each, rule.position, lines) if each.kind in COLLECTIONS else each
            for each in steps
        ]
        name = rule.path[0]
        return [variable("data"), *map(string, (*self._module.package, name)), *steps]

    def _out(self, node: Node, position: Position, lines: list[Line]) -> Node:
        """The node, or a local that has its value when that has to be evaluated."""
        return self._local(node, position, lines) if needs_evaluation(node) else node

    def _local(self, node: Node, position: Position, lines: list[Line]) -> Node:
        local = self._scopes.fresh()
        lines.append(Line(position, EQUALITY, (local, node)))
        return local

    def _argument(self, term: Term) -> Node:
        match term.kind:
            case "var" if term.value == "_":
                return self._scopes.wildcard()
            case "var" if self._names.is_local(self._module, str(term.value)):
                return self._scopes.argument(str(term.value))
            case "array":
                return Node("array", None, tuple(map(self._argument, term.terms)))
            case "object":
                parts = [
                    self._term(each, []) if at % 2 == 0 else self._argument(each)
                    for at, each in enumerate(term.terms)
                ]
                return Node("object", None, tuple(parts))
            case "call" | "infix" | "unary" | "ref" | "var":
                self._find(term, "rego.rule_argument", "an argument of a rule is computed")
                return self._scopes.wildcard()
            case _:
                return self._term(term, [])

    # lines

    def _statement(self, statement: Statement, lines: list[Line]) -> None:
        mocks: list[tuple[Node, Node]] = []
        if statement.kind == "some":
            for name in statement.names:
                if name.value != "_":
                    self._declare(name, "declared")
            return
        if statement.kind == "some_in":
            self._iteration(statement, lines)
            return
        if statement.kind == "every":
            self._every(statement, lines)
            return
        whole = statement.terms[0]
        is_negated = statement.kind == "not"
        extras: list[Line] = []
        if whole.kind == "infix" and whole.value == ":=":
            if is_negated:
                self._find(whole, "rego.assigned_in_not", "`:=` under `not` binds nothing")
            right = self._term(whole.terms[1], extras)
            mocks = self._mocks(statement, lines)
            left = self._assigned(whole.terms[0])
            extras.append(
                Line(whole.position, EQUALITY, (left, right), is_negated, assigns=True)
            )
        else:
            self._expression(whole, extras, is_negated=is_negated)
            mocks = self._mocks(statement, lines)
        lines += (_mocked(line, mocks) for line in extras)

    def _expression(self, whole: Term, lines: list[Line], *, is_negated: bool) -> None:
        if whole.kind in ("call", "infix", "unary"):
            operator, terms = self._operation(whole, lines)
            lines.append(Line(whole.position, operator, terms, is_negated))
        else:
            lines.append(Line(whole.position, None, (self._term(whole, lines),), is_negated))

    def _mocks(self, statement: Statement, lines: list[Line]) -> list[tuple[Node, Node]]:
        found: list[tuple[Node, Node]] = []
        for target, value in statement.mocks:
            of = self._target(target, lines)
            name = ".".join(static_path(value)) if value.kind in ("var", "ref") else ""
            rules = self._names.called(self._module, name) if name else []
            if of.kind == "function" and name in BUILTINS:
                by = Node("function", name)
            else:
                by = self._term(value, lines)
                is_function = any(rule.arguments for rule in rules)
                if not is_function or of.terms[:1] == (variable("input"),):
                    by = self._out(by, statement.position, lines)
            found.append((of, by))
        return found

    def _target(self, target: Term, lines: list[Line]) -> Node:
        if self._is_free(target):
            name = ".".join(static_path(target))
            if name not in BUILTINS or name in ("contains", "walk"):
                self._find(target, "rego.mock", f"`{name}` is no document and no function")
            return Node("function", name)
        path = self._names.resolve(self._module, target) or ()
        ends = range(2, len(path))
        if any(self._names.rules_at(tuple(str(s) for s in path[:end])) for end in ends):
            self._find(target, "rego.mock", "`with` replaces a part of what a rule gives")
        return self._term(target, lines)

    def _is_free(self, term: Term) -> bool:
        """Whether a name is no rule, import or root: a builtin's."""
        path = static_path(term)
        return bool(path) and self._names.resolve(self._module, term) is None

    def _iteration(self, statement: Statement, lines: list[Line]) -> None:
        *given, container = statement.terms
        names = [name for term in given for name in _names(term)]
        within = set(_names(container))
        for name in dict.fromkeys(names):
            if name in within and self._names.is_local(self._module, name):
                what = f"`{name}` is bound here and in what is iterated over"
                self._find(container, "rego.declared_twice", what)
        for term in statement.names:
            is_new = term.value not in within and term.value != "_"
            if is_new and self._names.is_local(self._module, str(term.value)):
                self._declare(term, "declared")
        extras: list[Line] = []
        parts = [self._term(term, extras) for term in given]
        value = parts[-1]
        key = parts[0] if len(parts) == 2 else self._scopes.fresh()
        over = self._term(container, extras)
        base = over.terms if over.kind == "ref" else (self._base(over, container, extras),)
        extras.append(
            Line(statement.position, EQUALITY, (value, Node("ref", None, (*base, key))))
        )
        mocks = self._mocks(statement, lines)
        lines += (_mocked(line, mocks) for line in extras)

    def _every(self, statement: Statement, lines: list[Line]) -> None:
        extras: list[Line] = []
        domain = self._scopes.fresh()
        over = self._term(statement.terms[0], extras)
        extras.append(Line(statement.position, EQUALITY, (domain, over)))
        self._scopes.push()
        named = [
            self._scopes.wildcard() if name.value == "_" else self._declare(name, "declared")
            for name in statement.names
        ]
        body: list[Line] = []
        for inner in statement.body:
            self._statement(inner, body)
        self._unused(body, set(), statement.position)
        self._scopes.pop()
        extras.append(
            Line(
                statement.position,
                None,
                (domain,),
                every=Every(tuple(named), tuple(body)),
            )
        )
        mocks = self._mocks(statement, lines)
        lines += (_mocked(line, mocks) for line in extras)

    def _declare(self, name: Term, how: str) -> Node:
        found = self._scopes.declare(str(name.value), how)
        if isinstance(found, Node):
            return found
        self._find(name, "rego.declared_twice", f"`{name.value}` {_AGAIN[found]}")
        return self._scopes.read(str(name.value))

    def _assigned(self, term: Term) -> Node:
        match term.kind:
            case "var" if term.value == "_":
                return self._scopes.wildcard()
            case "var":
                return self._declare(term, "assigned")
            case "array":
                return Node("array", None, tuple(map(self._assigned, term.terms)))
            case "object":
                parts = [
                    self._term(each, []) if at % 2 == 0 else self._assigned(each)
                    for at, each in enumerate(term.terms)
                ]
                return Node("object", None, tuple(parts))
            case _:
                self._find(term, "rego.assignment", f"a {term.kind} cannot be assigned to")
                return self._scopes.wildcard()

    def _unused(self, lines: list[Line], collected: set[str], position: Position) -> None:
        used = collected | {
            name for line in lines for name in line_variables(line, closures=True)
        }
        for unique, name in self._scopes.declared().items():
            if unique not in used:
                self._findings.append(
                    Finding(
                        self._module.path,
                        position,
                        "rego.unused_local",
                        f"`{name}` is declared and never used",
                        "remove it, or write `_` in `every`; OPA refuses it",
                    )
                )

    # terms

    def _term(self, term: Term, lines: list[Line]) -> Node:
        match term.kind:
            case "var":
                return self._variable(term)
            case "ref":
                return self._reference(term, lines)
            case "call" | "infix" | "unary":
                operator, terms = self._operation(term, lines)
                local = self._scopes.fresh()
                lines.append(Line(term.position, operator, (*terms, local)))
                return local
            case "comprehension":
                return self._comprehension(term)
            case "array" | "set" | "object":
                return Node(
                    term.kind, None, tuple(self._term(each, lines) for each in term.terms)
                )
            case _:
                return Node(term.kind, term.value)

    def _variable(self, term: Term) -> Node:
        name = str(term.value)
        if name == "_":
            return self._scopes.wildcard()
        if self._names.is_local(self._module, name):
            if name in BUILTINS and self._scopes.is_new(name):
                self._find(term, "rego.name_clash", f"the local `{name}` is a builtin's name")
            return self._scopes.read(name)
        path = self._names.resolve_name(self._module, name)
        return reference(path or (name,))

    def _reference(self, term: Term, lines: list[Line]) -> Node:
        first, *rest = term.terms
        base = self._term(first, lines)
        steps = tuple(self._term(step, lines) for step in rest)
        if any(step.kind == "call" and step.value == TEMPLATE for step in rest):
            self._find(term, "rego.template_step", "a text with values in it is a key")
        if base.kind == "ref":
            return Node("ref", None, (*base.terms, *steps))
        return Node("ref", None, (self._base(base, first, lines), *steps))

    def _base(self, base: Node, term: Term, lines: list[Line]) -> Node:
        """What a reference begins with: a local, also for a literal or comprehension."""
        if base.kind == "var":
            return base
        local = self._scopes.fresh()
        lines.append(Line(term.position, EQUALITY, (local, base)))
        return local

    def _operation(
        self, term: Term, lines: list[Line]
    ) -> tuple[str | tuple[str, ...], tuple[Node, ...]]:
        if term.kind == "call" and term.value == TEMPLATE:
            return TEMPLATE, (self._template(term.terms[0]),)
        terms = tuple(self._term(each, lines) for each in term.terms)
        if term.kind == "unary":
            return "minus", (Node("number", 0), *terms)
        if term.kind == "infix":
            if term.value == "in":
                return f"internal.member_{len(terms)}", terms
            return _OPERATORS.get(str(term.value), str(term.value)), terms
        name = str(term.value)
        path = self._names.resolve_name(self._module, name)
        return (path if path and self._names.rules_at(path) else name), terms

    def _template(self, parts: Term) -> Node:
        """A text with values in it: each is read in the scope around it."""
        found: list[Node] = []
        for part in parts.terms:
            if part.kind != "comprehension":
                found.append(Node(part.kind, part.value))
                continue
            if len(part.body) > 1:
                self._find(
                    part, "rego.template_step", "braces in a text hold more than one value"
                )
            value = part.body[0].terms[0].terms[1]
            lines: list[Line] = []
            node = self._term(value, lines)
            if node.kind == "var" and not lines:
                found.append(Node("set", None, (node,)))
                continue
            local = self._scopes.fresh()
            lines.append(Line(value.position, EQUALITY, (local, node)))
            read = sorted({name for line in lines for name in line_variables(line)} - {*ROOTS})
            outer = (variable(name) for name in read if not name.startswith(GENERATED))
            found.append(Node("set", None, tuple(outer)))  # nothing inside may bind them
            found.append(Node("comprehension", "set", (local,), tuple(lines)))
        return Node("array", None, tuple(found))

    def _comprehension(self, term: Term) -> Node:
        self._scopes.push()
        lines: list[Line] = []
        for statement in term.body:
            self._statement(statement, lines)
        collected = [self._term(head, lines) for head in term.terms]
        collected = [self._out(head, term.position, lines) for head in collected]
        used = {name for head in collected for name in variables(head, closures=True)}
        self._unused(lines, used, term.position)
        self._scopes.pop()
        return Node("comprehension", term.value, tuple(collected), tuple(lines))

    def _find(self, term: Term, code: str, what: str) -> None:
        fix = {
            "rego.declared_twice": "give one of them another name",
            "rego.assignment": "assign to a name, or compare with `==`",
            "rego.assigned_in_not": "bind it in a line before, or compare with `==`",
            "rego.mock": "replace a path of input or data, or a function",
            "rego.default_value": "give a literal, and compute in another rule",
            "rego.template_step": "bind the text in a line before, and use its name",
            "rego.name_clash": "rename the local",
            "rego.rule_argument": "name the argument, and compare it in the body",
        }[code]
        self._findings.append(Finding(self._module.path, term.position, code, what, fix))


def _mocked(line: Line, mocks: list[tuple[Node, Node]]) -> Line:
    if not mocks:
        return line
    return Line(
        line.position,
        line.operator,
        line.terms,
        line.is_negated,
        line.assigns,
        tuple(mocks),
        line.every,
    )


def _names(term: Term) -> Iterator[str]:
    """The names in a term, comprehensions aside."""
    if term.kind == "var":
        yield str(term.value)
    elif term.kind != "comprehension":
        for each in term.terms:
            yield from _names(each)


def _is_plain(term: Term) -> bool:
    """Whether a default may be it: literals, and comprehensions."""
    if term.kind in ("var", "ref", "call", "infix", "unary"):
        return False
    return term.kind == "comprehension" or all(map(_is_plain, term.terms))
