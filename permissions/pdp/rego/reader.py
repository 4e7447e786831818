"""Reads the syntax trees that regorus prints as JSON (AST version 1 of 0.13.0).

A node it does not know raises `UnknownNodeError`: an upgrade of the engine must not make the
linter blind. Positions are computed from byte offsets, because the engine's own columns count a
tab as four.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.pdp.rego.ast import (
    Import,
    Module,
    Position,
    Rule,
    Statement,
    StatementKind,
    Term,
    TermKind,
    static_path,
    walk_terms,
)

if TYPE_CHECKING:
    from permissions.model import JsonObject


class UnknownNodeError(ValueError):
    """The engine printed a node this reader does not know."""


class NotRegoError(ValueError):
    """The engine's parser takes what OPA's does not."""

    def __init__(self, position: Position, what: str) -> None:
        self.position = position
        super().__init__(what)


def read_module(document: JsonObject) -> Module:
    """A module from the engine's JSON.

    Raises:
        UnknownNodeError: the tree holds a node this reader does not know.
        NotRegoError: it is no tree of OPA's grammar.
    """
    text = document["source"]["contents"]
    return _Reader(text.encode()).module(document["source"]["file"], document["ast"])


_Span = tuple[int, int]
_FRACTION_BYTES = frozenset(b".eE")

_INFIX = {
    "Eq": "==",
    "Ne": "!=",
    "Lt": "<",
    "Le": "<=",
    "Gt": ">",
    "Ge": ">=",
    "Add": "+",
    "Sub": "-",
    "Mul": "*",
    "Div": "/",
    "Mod": "%",
    "Union": "|",
    "Intersection": "&",
    "ColEq": ":=",
}
_LITERALS: dict[str, TermKind] = {
    "String": "string",
    "RawString": "string",
    "Number": "number",
    "Bool": "boolean",
    "Null": "null",
    "Var": "var",
}
_OPERATIONS = frozenset({"Membership", "BoolExpr", "ArithExpr", "BinExpr", "AssignExpr"})


class _Reader:
    """Reads the nodes of one file; knows its bytes, for positions and names."""

    def __init__(self, source: bytes) -> None:
        self._source = source
        self._is_ascii = source.isascii()

    def module(self, path: str, tree: JsonObject) -> Module:
        package = tree["package"]
        return Module(
            path=path,
            package=static_path(self.term(package["refr"])),
            position=self._position(package["span"]),
            imports=tuple(self._import(node) for node in tree["imports"]),
            rules=tuple(self._rule(node) for node in tree["rules"]),
        )

    def _position(self, span: JsonObject) -> Position:
        start = span["start"]
        line_start = self._source.rfind(b"\n", 0, start) + 1
        if self._is_ascii:
            return Position(span["line"], start - line_start + 1)
        before = self._source[line_start:start].decode(errors="replace")
        return Position(span["line"], len(before) + 1)

    def _name(self, span: JsonObject) -> Term:
        text = self._source[span["start"] : span["end"]].decode()
        return Term("var", self._position(span), text, span=(span["start"], span["end"]))

    def _import(self, node: JsonObject) -> Import:
        path = static_path(self.term(node["refr"]))
        alias = node.get("as")
        name = self._name(alias).value if alias else path[-1]
        return Import(self._position(node["span"]), path, name)

    def _rule(self, node: JsonObject) -> Rule:
        ((kind, rule),) = node.items()
        position = self._position(rule["span"])
        span = (rule["span"]["start"], rule["span"]["end"])
        if kind == "Default":
            return Rule(
                position,
                "default",
                self.term(rule["refr"]),
                arguments=self._all(rule["args"]),
                values=(value := self.term(rule["value"]),),
                clause_values=(value,),
                span=span,
            )
        if kind != "Spec":
            raise UnknownNodeError(kind)
        ((form, head),) = rule["head"].items()
        values: list[Term] = []
        bodies = []
        given: list[Term | None] = []
        spans: list[_Span] = []
        self._check_head(head, form, position)
        if form == "Set":
            values += [self.term(head["key"])] if head["key"] else []
        elif head["assign"]:
            values.append(self.term(head["assign"]["value"]))
        of_head = values[0] if values else None
        for body in rule["bodies"]:
            given.append(None if body["is_else"] else of_head)
            if body["assign"]:
                values.append(self.term(body["assign"]["value"]))
                given[-1] = values[-1]
            bodies.append(self._rule_body(body["query"]))
            spans.append(self._body_span(body["query"]["span"]))
        return Rule(
            position,
            {"Compr": "value", "Set": "set", "Func": "function"}[form],  # type: ignore[arg-type]
            self.term(head["refr"]),
            arguments=self._all(head.get("args") or []),
            values=tuple(values),
            bodies=tuple(bodies),
            clause_values=tuple(given) or (of_head,),
            span=span,
            body_spans=tuple(spans),
        )

    def _body_span(self, span: JsonObject) -> _Span:
        """The quote of a text that a body ends with is no part of the engine's span."""
        start, end = span["start"], span["end"]
        return start, end + (end > start and self._source[end : end + 1] in (b'"', b"`"))

    def _check_head(self, head: JsonObject, form: str, position: Position) -> None:
        name = self.term(head["refr"])
        if name.kind == "var" and name.value == "contains":
            raise NotRegoError(position, "`contains` is no name of a rule")
        if form == "Set" and head["key"]:
            between = self._source[name.span[1] : self.term(head["key"]).span[0]]
            if b"contains" not in between:
                raise NotRegoError(position, "a rule of a set is written with `contains`")

    def _rule_body(self, query: JsonObject) -> tuple[Statement, ...]:
        """A body; braces right after `if` are those of a body, and never a value's."""
        body = self._body(query)
        first = body[0].terms[0] if body and body[0].kind == "expression" else None
        if first and first.kind in ("set", "object"):
            before = self._source[: first.span[0]].rstrip()
            if before.endswith(b"if"):
                raise NotRegoError(first.position, "the braces after `if` hold no lines")
        return body

    def _body(self, query: JsonObject) -> tuple[Statement, ...]:
        return tuple(self._statement(node) for node in query["stmts"])

    def _statement(self, node: JsonObject) -> Statement:
        ((kind, literal),) = node["literal"].items()
        position = self._position(node["span"])
        start = node["span"]["start"]
        # The engine's span of a text is what its quotes hold, also where a line begins with one.
        start -= self._source[start - 1 : start] in (b'"', b"`")
        mocks = tuple(
            (self.term(mod["refr"]), self.term(mod["as"])) for mod in node.get("with_mods", ())
        )
        if kind in ("Expr", "NotExpr"):
            form: StatementKind = "not" if kind == "NotExpr" else "expression"
            return Statement(
                form, position, (self.term(literal["expr"]),), mocks=mocks, start=start
            )
        if kind == "SomeVars":
            names = tuple(self._name(span) for span in literal["vars"])
            return Statement("some", position, names=names, mocks=mocks, start=start)
        if kind == "SomeIn":
            given = (literal["key"], literal["value"], literal["collection"])
            terms = tuple(self.term(part) for part in given if part)
            declared = tuple(t for t in walk_terms(terms[:-1]) if t.kind == "var")
            return Statement(
                "some_in", position, terms, names=declared, mocks=mocks, start=start
            )
        if kind == "Every":
            names = tuple(
                self._name(span) for span in (literal["key"], literal["value"]) if span
            )
            domain = (self.term(literal["domain"]),)
            body = self._body(literal["query"])
            return Statement(
                "every", position, domain, names=names, body=body, mocks=mocks, start=start
            )
        raise UnknownNodeError(kind)

    def _all(self, nodes: list[JsonObject]) -> tuple[Term, ...]:
        return tuple(self.term(node) for node in nodes)

    def term(self, node: JsonObject) -> Term:
        ((kind, body),) = node.items()
        position = self._position(body["span"])
        span = (body["span"]["start"], body["span"]["end"])
        if kind in _LITERALS:
            value = body["value"]
            if kind == "Number" and set(self._source[slice(*span)]) & _FRACTION_BYTES:
                value = float(
                    value
                )  # how it is written counts: `1.0` is no `1` to OPA's sprintf
            return Term(_LITERALS[kind], position, value, span=span)
        if kind in ("RefDot", "RefBrack"):
            return self._ref(kind, body, span)
        if kind == "Call":
            callee = self.term(body["fcn"])
            name = ".".join(static_path(callee))
            return Term("call", callee.position, name, self._all(body["params"]), span=span)
        if kind == "UnaryExpr":
            return self._negative(self.term(body["expr"]), position, span)
        if kind in _OPERATIONS:
            return self._infix(kind, body, span)
        return self._collection(kind, position, body, span)

    def _negative(self, term: Term, position: Position, span: _Span) -> Term:
        """`-x`; the engine's parser takes `-x == 1` for `-(x == 1)`, OPA's for `(-x) == 1`."""
        if term.kind == "infix":
            left = self._negative(term.terms[0], position, span)
            whole = (span[0], term.span[1])
            return term._replace(position=position, terms=(left, *term.terms[1:]), span=whole)
        operand = self._source[span[0] + 1 : term.span[1]].lstrip()
        if not operand[:1].isalnum() and operand[:1] not in (b"_", b"."):
            raise NotRegoError(position, "`-` stands before a number or a name only")
        return Term("unary", position, "-", (term,), span=(span[0], term.span[1]))

    def _collection(self, kind: str, position: Position, body: JsonObject, span: _Span) -> Term:
        if kind in ("Array", "Set"):
            for item in body["items"]:
                self._check_item(item)
            if kind == "Set" and not body["items"]:  # the engine's span of `set()` runs on
                span = (span[0], self._source.index(b")", span[0]) + 1)
            return Term(kind.lower(), position, None, self._all(body["items"]), span=span)  # type: ignore[arg-type]
        if kind == "Object":
            pairs = self._all([part for field_ in body["fields"] for part in field_[1:]])
            if pairs:  # the engine's span begins at the last of several members
                begin = self._source.rindex(b"{", 0, pairs[0].span[0])
                span = (begin, span[1])
            return Term("object", position, None, pairs, span=span)
        if kind in ("ArrayCompr", "SetCompr", "ObjectCompr"):
            results = self._all(
                [body[name] for name in ("term", "key", "value") if name in body]
            )
            form = kind.removesuffix("Compr").lower()
            statements = self._body(body["query"])
            return Term("comprehension", position, form, results, statements, span=span)
        raise UnknownNodeError(kind)

    def _check_item(self, node: JsonObject) -> None:
        """`[a | b]` is a comprehension to OPA; the engine's parser may take it for an array."""
        operation = node.get("BinExpr")
        if operation and operation["op"] == "Union":
            start = operation["span"]["start"]
            if not self._source[:start].rstrip().endswith(b"("):
                position = self._position(operation["span"])
                raise NotRegoError(position, "`a | b` in brackets needs parentheses")

    def _infix(self, kind: str, body: JsonObject, span: _Span) -> Term:
        if kind == "Membership":
            given = [body[name] for name in ("key", "value", "collection") if body[name]]
            terms = self._all(given)
            return Term("infix", terms[0].position, "in", terms, span=span)
        operator = "=" if kind == "AssignExpr" and body["op"] == "Eq" else _INFIX[body["op"]]
        self._check_right(body["rhs"])
        sides = self._all([body["lhs"], body["rhs"]])
        return Term("infix", sides[0].position, operator, sides, span=span)

    def _check_right(self, node: JsonObject) -> None:
        """`a - -b == c`: the engine's parser negates all that follows, and OPA's only `b`."""
        negated = node.get("UnaryExpr")
        if negated and set(negated["expr"]) & _OPERATIONS:
            start = negated["span"]["start"]
            if not self._source[:start].rstrip().endswith(b"("):
                position = self._position(negated["span"])
                raise NotRegoError(position, "a `-x` behind an operator needs parentheses")

    def _ref(self, kind: str, body: JsonObject, span: _Span) -> Term:
        base = self.term(body["refr"])
        path = base.terms if base.kind == "ref" else (base,)
        if kind == "RefDot":
            inner, name = body["field"]
            where = (inner["start"], inner["end"])
            step = Term("string", self._position(inner), name, span=where)
        else:
            step = self.term(body["index"])
        return Term("ref", path[0].position, None, (*path, step), span=span)
