"""Random calls of builtins as Rego text, made of what a builtin's signature takes."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TEXTS = [
    *("", "a", "A", "ab", "aab", "abab", "a.b.c", "a/b/c", "/a", "a b", " a ", " ", "\t", "\n"),
    *(
        "é",
        "É",
        "İ",
        "ß",
        "\u017f",
        "K",
        "日本",
        "🎉",
        "e\u0301",
        "\u200b",
        "ǅ",
        "ΑΣ",
        "ﬁ",
        "\u0000x",
    ),
    *(
        "1",
        "-1",
        "0",
        "1.5",
        "1e3",
        "007",
        "0x1f",
        "+1",
        "1_0",
        "1.",
        ".5",
        "1e400",
        "Inf",
        "NaN",
    ),
    *("true", "null", "[1]", '{"a":1}', '{"a":1,"a":2}', "[1,]", "a@b.de", "A@B.DE"),
    *(
        "foo%20bar",
        "a+b",
        "%zz",
        "a=b&c=d",
        "a=1;b=2",
        "*",
        "~a-_.!'()",
        "q=../../x",
        "%C3%A9",
        "%ff",
    ),
    *("YWI=", "YWI", "YWJj\n", "6162", "616", "ZZ"),
    *(
        "^a+$",
        "a*",
        "**",
        "a.*",
        "[a-z]+",
        "(?i)abc",
        "(a)(b)?",
        "(",
        "x*",
        "\\d",
        "(?P<n>b)",
        "$1",
        "${n}x",
        "$$",
    ),
    *(
        "10.0.0.1",
        "10.0.0.0/8",
        "10.1.0.0/16",
        "::1",
        "::ffff:10.0.0.1",
        "fe80::/10",
        "fe80::1/64",
        "256.1.1.1",
        "010.0.0.1",
        "10.0.0.0/33",
    ),
    *(
        "http://a.example:80/b?c=d#e",
        "mailto:a@b",
        "https://a.example",
        "//a/b",
        "a:b",
        "http://[::1]/",
        "http://a b/",
        "http://u:p@h/",
    ),
    *(
        "1.2.3",
        "v1.2.3",
        "1.2.3-rc.1",
        "1.2.3-rc.2+x",
        "1.2",
        "01.2.3",
        "1.0.0-01",
        "1.0.0-a.b",
        "1.0.0-1",
    ),
    *(
        "10K",
        "10Ki",
        "1.5MB",
        "500m",
        "2Gi",
        "1.5",
        "1e3",
        "10 K",
        "K",
        "1.5EiB",
        '"5M"',
        "1e3k",
    ),
    *(
        "00112233-4455-4677-8899-aabbccddeeff",
        "{00112233-4455-4677-8899-aabbccddeeff}",
        "urn:uuid:00112233-4455-4677-8899-aabbccddeeff",
        "00112233445546778899aabbccddeeff",
        "00112233-4455-1677-8899-aabbccddeeff",
    ),
    *(
        "2026-11-29T12:00:00Z",
        "2026-11-29T12:00:00.5+01:00",
        "2026-02-30T12:00:00Z",
        "2026-11-29 12:00:00Z",
        "2026-11-29t12:00:00z",
    ),
]
NUMBERS = [
    *(0, 1, -1, 2, 3, 7, 10, 16, 36, 64, 100, 255, 9007199254740991, 9007199254740993),
    *(-9007199254740993, 2**62, 2**63 - 1, -(2**63), 1795500000000000000),
    *(
        1.5,
        -1.5,
        0.5,
        2.5,
        -0.5,
        0.1,
        0.2,
        0.3,
        1.1,
        3.3,
        99.99,
        123456789.123,
        0.7,
        2.567,
    ),
]
_MOMENTS = [
    0,
    -1,
    1795500000000000000,
    951782400000000000,
    1709164800000000000,
    1706659200000000000,
]
_ZONES = ["UTC", "", "Europe/Berlin", "America/New_York", "Asia/Tokyo", "Mars/X"]
_FORMATS = [
    *(
        "%d",
        "%s",
        "%v",
        "%5.2f",
        "%x",
        "%q",
        "%t",
        "%%",
        "%05d",
        "%s-%s",
        "%f",
        "%e",
        "%g",
        "%.0f",
    ),
    *("%d%%", "%5s", "%-5s|", "%+d", "%v %v", "%X", "%o", "%b", "%c", "%U", "%T", "%s %d", "x"),
    *(
        "%.3s",
        "%05.1f",
        "%-8d|",
        "% d",
        "%#x",
        "%08.3f",
        "%3v",
        "%s%s%s",
        "%",
        "%z",
        "%[1]d",
        "%*d",
    ),
]


class Raw(str):
    """Rego text that is written as it is."""

    __slots__ = ()


def text_of(value: Any) -> str:
    """A value as Rego text."""
    if isinstance(value, Raw):
        return value
    if isinstance(value, set | frozenset | tuple):
        return f"{{{', '.join(map(text_of, value))}}}" if value else "set()"
    if isinstance(value, list):
        return f"[{', '.join(map(text_of, value))}]"
    if isinstance(value, dict):
        pairs = (f"{text_of(key)}: {text_of(each)}" for key, each in value.items())
        return f"{{{', '.join(pairs)}}}"
    return json.dumps(value, ensure_ascii=False)


class Caller:
    """Random calls from one seed."""

    def __init__(self, seed: object) -> None:
        self.rng = random.Random(seed)  # noqa: S311 - the same calls each time

    def call(self, name: str, arguments: Sequence[frozenset[str]]) -> str:
        """One call of a builtin with arguments of these kinds."""
        special = _SPECIAL.get(name)
        values = (
            special(self)
            if special and (name.startswith("bits.") or self.rng.random() < 0.9)
            else None
        )
        if values is None:
            values = [self.value(sorted(kinds)) for kinds in arguments]
            if name.startswith(("numbers.range", "net.cidr_expand")):
                values = [self.rng.randrange(-20, 20) for _ in values]
        return f"{name}({', '.join(map(text_of, values))})"

    def value(self, kinds: Sequence[str], depth: int = 0) -> Any:  # noqa: PLR0911 - a table
        """A value of one of these kinds; a set is a tuple."""
        kind = self.rng.choice(list(kinds))
        if kind == "any":
            plain = ["string", "number", "boolean", "null"]
            kind = self.rng.choice(plain if depth > 2 else [*plain, "array", "object", "set"])
        member = ["string"] if depth > 2 else ["string", "number", "any"]
        match kind:
            case "string":
                text = self.rng.choice(TEXTS)
                return text if self.rng.random() < 0.8 else text + self.rng.choice(TEXTS)
            case "number":
                return self.rng.choice(NUMBERS)
            case "boolean":
                return self.rng.random() < 0.5
            case "array":
                of = [self.rng.choice(member)]
                return [self.value(of, depth + 1) for _ in range(self.rng.randrange(4))]
            case "set":  # of one kind: a set is printed in each engine's own order of kinds
                of = [self.rng.choice(["string", "number", *(["array"] if depth < 3 else [])])]
                return tuple(self.value(of, depth + 1) for _ in range(self.rng.randrange(4)))
            case "object":
                keys = self.rng.sample(TEXTS, self.rng.randrange(4))
                return {key: self.value(member, depth + 1) for key in keys}
            case _:
                return None

    def some(self, values: Sequence[Any]) -> Any:
        return self.rng.choice(list(values))

    def document(self, depth: int = 0) -> Any:
        """An object or array a path may lead into."""
        if depth > 2 or self.rng.random() < 0.2:
            return self.some([1, "x", None, True, [], {}, 1.5])
        if self.rng.random() < 0.3:
            return [self.document(depth + 1) for _ in range(self.rng.randrange(4))]
        keys = self.rng.sample(["a", "b", "c", "a/b", "~", "0", "é"], self.rng.randrange(4))
        return {key: self.document(depth + 1) for key in keys}

    def path(self) -> Any:
        """A pointer, an array, or something near to one."""
        steps = [
            self.some(["a", "b", "c", "0", "1", "a~1b", "~0", "-", "é", "00"])
            for _ in range(self.rng.randrange(4))
        ]
        joined = "/".join(steps)
        return self.some([joined, f"/{joined}", joined, f"/{joined}", steps, f"//{joined}"])

    def paths(self) -> Any:
        found = [self.path() for _ in range(self.rng.randrange(4))]
        texts = tuple(each for each in found if isinstance(each, str))
        return self.some([found, texts])

    def patch(self) -> Any:
        operation: dict[str, Any] = {
            "op": self.some(["add", "remove", "replace", "move", "copy", "test"]),
            "path": self.path(),
        }
        if operation["op"] in ("add", "replace", "test"):
            operation["value"] = self.document(2)
        if operation["op"] in ("move", "copy"):
            operation["from"] = self.path()
        return operation

    def moment(self) -> Any:
        plain = self.some(_MOMENTS)
        return self.some([plain, [plain, self.some(_ZONES)], [plain]])

    def sets(self) -> Any:
        return tuple(
            tuple(self.value(["string", "number"]) for _ in range(self.rng.randrange(3)))
            for _ in range(self.rng.randrange(3))
        )

    def formatted(self) -> list[Any]:
        """A template with values of which most fit."""
        template, values = "", []
        for _ in range(self.rng.randrange(1, 4)):
            kind = self.some("sdvf")
            flag = self.some(["", "", "", "5", "-6", "05", "3"])
            if kind == "f":
                template += f"%{flag}.{self.rng.randrange(4)}f|"
                values.append(self.some([1.5, 0.125, -2.5, 99.99, 0.1, 3]))
            elif kind == "d":
                template += f"%{flag}{self.some('ddxXob')} "
                values.append(self.some([0, 1, -7, 255, 65, 2**62, "x"]))
            elif kind == "s":
                template += f"é%{flag}s-"
                values.append(self.some(["", "a", "abc", "日本", "e\u0301", 5]))
            else:
                template += "%v%%"
                composite = [[1, "a"], {"a": 1, "b": [True]}, (1, 2), (), None, True, ["é"]]
                values.append(self.some([1, "a", 1.5, 0.00001, 123456.789, *composite]))
        if self.rng.random() < 0.1:
            return [self.some(_FORMATS), values]
        return [template, values if self.rng.random() < 0.95 else values[1:]]

    def graph(self) -> Any:
        """An adjacency list, with edges as arrays or sets."""
        edges = [self.rng.sample(["a", "b", "c", "d"], self.rng.randrange(3)) for _ in range(3)]
        of_sets = self.rng.random() < 0.5
        return {
            node: tuple(edge) if of_sets else edge
            for node, edge in zip("abc", edges, strict=True)
        }

    def keyed(self) -> Any:
        return {
            self.some(["a", "b", "ab", "é", "", "aa", "abc"]): self.some(
                ["b", "a", "", "X", "é"]
            )
            for _ in range(self.rng.randrange(4))
        }

    def blocks(self) -> Any:
        given = ["10.0.0.0/8", "10.1.0.0/16", "10.0.0.0/24", "10.0.1.0/24", "11.0.0.0/8"]
        more = [*given, "fe80::/10", "fe80::/64", "fec0::/10", "10.1.2.3", "::1", "x"]
        chosen = [self.some(given if self.rng.random() < 0.7 else more) for _ in range(3)]
        return self.some([chosen, tuple(chosen), chosen[:1], chosen[:2]])


_PATTERNS = [
    "a*",
    "a+",
    "(a)(b)?",
    "b|",
    "^a",
    "a$",
    "",
    "[a-c]",
    "(?P<n>a)b",
    "é",
    ".",
    "\\b",
    "(x)*",
]
_SUBJECTS = ["", "baa", "abab", "aaa", "éaé", "xay", "a\nb", "cab", "aab baa"]

_ENCODED = [
    "YWI=",
    "YWJj",
    "YWI",
    "YWJj\n",
    "YQ==",
    "YQ=",
    "w6k=",
    "w6k",
    "8J-OiQ",
    "8J+OiQ==",
    "/+8=",
    "_-8=",
    "",
    "=",
    "YWI==",
]
_HEXES = ["6162", "616", "c3a9", "C3A9", "ff", "", "zz", "f09f8e89"]
_VERSIONS = [
    "1.2.3",
    "v1.2.3",
    "1.2.3-rc.1",
    "1.2.3-rc.2+x",
    "1.2",
    "1.2.10",
    "2.0.0",
    "1.0.0-01",
    "1.0.0-a.b",
    "1.0.0-1",
    "1.0.0-a.1",
    "1.0.0-a",
    "9999999999999999999.0.0",
    "1.0.0-",
    "1.0.0+",
]
_AMOUNTS = [
    "10K",
    "10Ki",
    "1.5MB",
    "500m",
    "2Gi",
    "1.5",
    "1e3",
    "10 K",
    "K",
    "1.5EiB",
    '"5M"',
    "1e3k",
    "0.1k",
    "3M",
    "3m",
    "1.25G",
    "7.",
    ".5k",
    "-3k",
    "1e",
    "1e-3M",
    "12kb",
    "12KiB",
    "0.0001",
    "1.7ki",
    "5e2e",
]
_UUIDS = [
    "00112233-4455-4677-8899-aabbccddeeff",
    "{00112233-4455-4677-8899-aabbccddeeff}",
    "urn:uuid:00112233-4455-4677-8899-aabbccddeeff",
    "00112233445546778899aabbccddeeff",
    "00112233-4455-1677-8899-aabbccddeeff",
    "00112233-4455-7677-8899-AABBCCDDEEFF",
    "00112233-4455-4677-0899-aabbccddeeff",
    "x",
    "00112233-4455-4677-8899-aabbccddeef",
    "{00112233-4455-4677-8899-aabbccddeeff",
]
_TIMES = [
    "2026-11-29T12:00:00Z",
    "2026-11-29T12:00:00.5+01:00",
    "2026-02-30T12:00:00Z",
    "2024-02-29T23:59:59.999999999-11:30",
    "2026-11-29 12:00:00Z",
    "2026-11-29t12:00:00z",
    "2026-11-29T24:00:00Z",
    "1969-12-31T23:59:59Z",
    "1600-01-01T00:00:00Z",
    "2026-11-29T12:00:00",
    "2026-11-29T12:00:60Z",
    "2026-11-29T12:00:00,25Z",
    "2026-11-29T12:00:00.1234567891Z",
    "2026-11-29T1:00:00Z",
]
_URIS = [
    "http://a.example:80/b?c=d#e",
    "mailto:a@b",
    "https://a.example",
    "//a/b",
    "a:b",
    "http://[::1]/",
    "http://a b/",
    "http://u:p@h/",
    "/a/b?x=1",
    "HTTP://A.Example/%20",
    "http://a:/",
    "http://a:x/",
    "?q",
    "#f",
    "",
    "a/b:c",
    "http://a.example?x#y",
    "1a:b",
    "http:///p",
    "a/b",
]
_QUERIES = [
    "a=b&c=d",
    "a=1;b=2",
    "a=%zz",
    "a+b=c%20d",
    "a",
    "=x",
    "a=b&a=c",
    "",
    "&&",
    "a=b=c",
    "%C3%A9=%ff",
    "a=%26",
]
_WORDS = [
    "1",
    "-1",
    "0",
    "1.5",
    "1e3",
    "007",
    "0x1f",
    "+1",
    "1_0",
    "1.",
    ".5",
    "1e400",
    "Inf",
    "NaN",
    "",
    " 1",
    "-0",
    "12345678901234567890",
    "1.10",
    "0.1",
    "1E5",
    "99.99",
]

_JSON = [
    "1",
    "1.5",
    "[1,]",
    '{"a":1,"a":2}',
    "null",
    " 1 ",
    '"\\ud800"',
    '"x',
    "NaN",
    "1e400",
    "[1.0]",
    '{"a":{"b":[]}}',
    "",
    "01",
    '"\\u00e9"',
    "[1] x",
    "1e3",
    "-0",
    "\ufeff1",
]
_BLOCKS = [
    "10.0.0.0/8",
    "10.1.0.0/16",
    "10.1.2.3",
    "10.1.2.3/8",
    "::/0",
    "0.0.0.0/0",
    "::ffff:10.0.0.0/104",
    "::ffff:10.1.1.1",
    "fe80::/10",
    "fe80::1",
    "2001:DB8::/32",
    "2001:db8::1",
    "010.0.0.0/8",
    "10.0.0.0/33",
    "10.0.0.0/255.0.0.0",
    "fe80::1%eth0",
    "x",
    "",
    "10.0.0/8",
    "::1/128",
    "10.0.0.0/08",
    "::10.1.2.3",
    "::10.0.0.0/104",
]

_YAML = [
    "a: 1",
    "a:\n- 1\n- b",
    "a: [",
    "- - 1",
    "x: 'y'",
    "a: b: c",
    "",
    "foo:\n  bar",
    "{a: 1}",
    "yes",
    "1.5",
    "---\na",
    "a: 1\n---\nb: 2",
    "a: 1\n---\n[",
    "a: &x 1\nb: *x",
    "a: 1\na: 2",
    "0o7",
    "~",
    "!!str 1",
    "<<: {a: 1}",
]

_SPECIAL: dict[str, Callable[[Caller], list[Any]]] = {
    "base64.decode": lambda c: [c.some(_ENCODED)],
    "base64.is_valid": lambda c: [c.some(_ENCODED)],
    "base64url.decode": lambda c: [c.some(_ENCODED)],
    "graph.reachable": lambda c: [c.graph(), c.some([["a"], ("a", "b"), ["z"], []])],
    "graph.reachable_paths": lambda c: [c.graph(), c.some([["a"], ("a", "b"), ["z"], []])],
    "hex.decode": lambda c: [c.some(_HEXES)],
    "semver.compare": lambda c: [c.some(_VERSIONS), c.some(_VERSIONS)],
    "semver.is_valid": lambda c: [c.some(_VERSIONS)],
    "time.parse_rfc3339_ns": lambda c: [c.some(_TIMES)],
    "to_number": lambda c: [c.some([*_WORDS, True, None, 2, 0.5])],
    "units.parse": lambda c: [c.some(_AMOUNTS)],
    "units.parse_bytes": lambda c: [c.some(_AMOUNTS)],
    "uri.is_valid": lambda c: [c.some(_URIS)],
    "uri.parse": lambda c: [c.some(_URIS)],
    "urlquery.decode_object": lambda c: [c.some(_QUERIES)],
    "urlquery.encode_object": lambda c: [
        {
            c.some(["a", "é", "b c"]): c.some(["x", "&", ["y", "x"], ("z", "a"), [], ""])
            for _ in range(2)
        }
    ],
    "uuid.parse": lambda c: [c.some(_UUIDS)],
    "yaml.is_valid": lambda c: [c.some(_YAML)],
    "yaml.unmarshal": lambda c: [c.some(_YAML)],
    "array.slice": lambda c: [
        c.value(["array"]),
        c.rng.randrange(-3, 5),
        c.rng.randrange(-3, 5),
    ],
    "bits.lsh": lambda c: [c.some(NUMBERS), c.some([0, 1, 3, 8, 40, 63, 64, -1])],
    "bits.rsh": lambda c: [c.some(NUMBERS), c.some([0, 1, 3, 8, 40, 63, 64, -1])],
    "format_int": lambda c: [c.some(NUMBERS), c.some([2, 8, 10, 16])],
    "glob.match": lambda c: [
        c.some(
            ["a*", "**", "*.b", "{a,b}*", "[a-c]?", "a/**", "?", "a\\*", "é*", "*/b", "a.b"]
        ),
        c.some([[], ["/"], ["."], ["/", ":"], None]),
        c.some(["a", "ab", "a/b", "a.b", "b", "", "é", "a*", "a/b/c", "x.b"]),
    ],
    "intersection": lambda c: [c.sets()],
    "json.filter": lambda c: [c.document() or {}, c.paths()],
    "json.patch": lambda c: [c.document(), [c.patch() for _ in range(c.rng.randrange(3))]],
    "json.remove": lambda c: [c.document() or {}, c.paths()],
    "json.marshal_with_options": lambda c: [
        c.document(),
        c.some(
            [
                {},
                {"pretty": True},
                {"indent": "  "},
                {"prefix": "> "},
                {"pretty": False, "indent": " "},
                {"x": 1},
            ]
        ),
    ],
    "json.unmarshal": lambda c: [c.some(_JSON)],
    "json.is_valid": lambda c: [c.some(_JSON)],
    "net.cidr_contains": lambda c: [c.some(_BLOCKS), c.some(_BLOCKS)],
    "net.cidr_intersects": lambda c: [c.some(_BLOCKS), c.some(_BLOCKS)],
    "net.cidr_is_valid": lambda c: [c.some(_BLOCKS)],
    "net.cidr_contains_matches": lambda c: [c.blocks(), c.blocks()],
    "net.cidr_merge": lambda c: [c.blocks()],
    "object.get": lambda c: [
        {"a": {"b": [1, {"c": None}]}, "x": False},
        c.some(["a", "x", ["a", "b"], ["a", "b", 1, "c"], ["a", "b", 5], [], "z", ["x", "y"]]),
        c.some([0, None, "d"]),
    ],
    "object.subset": lambda c: c.some(
        [[c.document(), c.document()], [c.value(["array"]), c.value(["array"])]]
    ),
    "regex.find_all_string_submatch_n": lambda c: [
        c.some(_PATTERNS),
        c.some(_SUBJECTS),
        c.some([-1, 0, 1, 2]),
    ],
    "regex.find_n": lambda c: [c.some(_PATTERNS), c.some(_SUBJECTS), c.some([-1, 0, 1, 2])],
    "regex.replace": lambda c: [
        c.some(_SUBJECTS),
        c.some(_PATTERNS),
        c.some(["x", "$1", "${n}", "$$", "$1x", "[$0]", "", "$", "$2", "$é"]),
    ],
    "regex.split": lambda c: [c.some(_PATTERNS), c.some(_SUBJECTS)],
    "sprintf": lambda c: c.formatted(),
    "strings.replace_n": lambda c: [
        c.keyed(),
        c.some([*_SUBJECTS, "abba", "....//etc", "abcab"]),
    ],
    "strings.split_n": lambda c: [
        c.some(["a,b,c", "", "abc", "a,,b", "é,ü"]),
        c.some([",", "", "b", ",,"]),
        c.rng.randrange(-3, 4),
    ],
    "substring": lambda c: [c.some(TEXTS), c.rng.randrange(-1, 5), c.rng.randrange(-2, 5)],
    "time.add_date": lambda c: [
        c.moment(),
        c.rng.randrange(-30, 31),
        c.rng.randrange(-30, 31),
        c.rng.randrange(-40, 41),
    ],
    "time.clock": lambda c: [c.moment()],
    "time.date": lambda c: [c.moment()],
    "time.diff": lambda c: [c.moment(), c.moment()],
    "time.weekday": lambda c: [c.moment()],
    "union": lambda c: [c.sets()],
}
