"""Secrets, by the forms their issuers give them, and by what stands before them.

A form with a prefix of its own is told by it; a value without one only where a name before it
says that it is a password or a key, and it does not look like a word, a path or an example.
RE2 searches, whose time grows with the text and with nothing in it.

Not protected from: a password in plain words, a secret of an issuer that is not listed here and
that nothing names, and what `views` cannot undo.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

import re2

from permissions.detection.finding import Found
from permissions.detection.views import views

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.detection.views import View

_PEM: Final = (
    r"-----BEGIN (?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:[^-]*-----END (?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
    r"|[A-Za-z0-9+/=\s\\]{16,1000})"
)
_NAMES: Final = (
    r"pass(?:word|wd|phrase|code)|pwd|secret|api[_ -]?key|apikey|auth[_ -]?key|account[_ -]?key"
    r"|access[_ -]?key|private[_ -]?key|encryption[_ -]?key|signing[_ -]?key|license[_ -]?key"
    r"|(?:auth|access|api|bot|bearer|refresh|session|id|user|service|deploy|npm|vault)[_ -]?token"
    r"|credential|passwort|kennwort|contrase[ñn]a|mot de passe|senha|wachtwoord"
)
_VALUE: Final = r"[^\s\"'`,;<>(){}\[\]|]"

_FORMS: Final[tuple[tuple[str, str, str], ...]] = (
    ("aws_access_key", "akia asia abia acca a3t", r"\b(?:AKIA|ASIA|ABIA|ACCA|A3T[A-Z0-9])[A-Z0-9]{16}\b"),
    ("github_token", "ghp_ gho_ ghu_ ghs_ ghr_", r"\bgh[pousr]_[A-Za-z0-9]{36,251}\b"),
    ("github_token", "github_pat_", r"\bgithub_pat_[A-Za-z0-9_]{36,255}\b"),
    ("gitlab_token", "gl", r"\bgl(?:pat|dt|rt|rtr|cbt|ptt|ft|soat|agent|oas|imt)-[A-Za-z0-9_.-]{20,200}"),
    ("slack_token", "xox xapp-", r"\b(?:xox[abposre]-(?:[A-Za-z0-9]{1,20}-){1,4}[A-Za-z0-9]{16,80}|xapp-[0-9]-[A-Z0-9]+-[0-9]+-[0-9a-f]{32,80})\b"),
    ("webhook", "hooks.slack.com", r"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9]{6,}/[A-Za-z0-9]{6,}/[A-Za-z0-9]{16,}"),
    ("webhook", "/api/webhooks/", r"discord(?:app)?\.com/api/webhooks/[0-9]{16,20}/[A-Za-z0-9_-]{60,80}"),
    ("stripe_key", "_live_ _test_ whsec_", r"\b(?:(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{20,200}|whsec_[A-Za-z0-9+/=]{24,80})"),
    ("openai_key", "sk-", r"\bsk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{16,120}T3BlbkFJ[A-Za-z0-9_-]{16,120}"),
    ("anthropic_key", "sk-ant-", r"\bsk-ant-[a-z]{2,10}[0-9]{2}-[A-Za-z0-9_-]{60,200}"),
    ("google_key", "aiza", r"\bAIza[A-Za-z0-9_-]{35}\b"),
    ("google_key", "ya29. gocspx-", r"\b(?:ya29\.[A-Za-z0-9_-]{30,400}|GOCSPX-[A-Za-z0-9_-]{28})"),
    ("huggingface_token", "hf_", r"\bhf_[A-Za-z0-9]{30,60}\b"),
    ("npm_token", "npm_", r"\bnpm_[A-Za-z0-9]{36}\b"),
    ("pypi_token", "pypi-", r"\bpypi-AgE[A-Za-z0-9_-]{40,300}"),
    ("sendgrid_key", "sg.", r"\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"),
    ("twilio_key", "sk", r"\bSK[0-9a-f]{32}\b"),
    ("mailgun_key", "key-", r"\bkey-[0-9a-f]{32}\b"),
    ("mailchimp_key", "-us", r"\b[0-9a-f]{32}-us[0-9]{1,2}\b"),
    ("square_key", "sq0", r"\b(?:sq0csp-[A-Za-z0-9_-]{43}|sq0atp-[A-Za-z0-9_-]{22}|EAAA[A-Za-z0-9_-]{60})"),
    ("shopify_token", "shp", r"\bshp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}\b"),
    ("digitalocean_token", "_v1_", r"\bdo[opr]_v1_[0-9a-f]{64}\b"),
    ("databricks_token", "dapi", r"\bdapi[0-9a-f]{32}(?:-[0-9])?\b"),
    ("telegram_token", ":aa", r"(?:\b|bot)[0-9]{8,10}:AA[A-Za-z0-9_-]{33}"),
    ("vault_token", "hv", r"\bhv[sbr]\.[A-Za-z0-9_-]{24,200}"),
    ("age_key", "age-secret-key-", r"\bAGE-SECRET-KEY-1[A-Z0-9]{58}\b"),
    ("terraform_token", ".atlasv1.", r"\b[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,80}"),
    ("grafana_token", "glc_ glsa_", r"\b(?:glc_[A-Za-z0-9+/=]{32,400}|glsa_[A-Za-z0-9]{32}_[0-9a-f]{8})"),
    ("atlassian_token", "atatt3", r"\bATATT3[A-Za-z0-9_=-]{60,300}"),
    ("linear_key", "lin_api_", r"\blin_api_[A-Za-z0-9]{32,48}\b"),
    ("notion_token", "ntn_ secret_", r"\b(?:ntn_[A-Za-z0-9]{40,60}|secret_[A-Za-z0-9]{43})\b"),
    ("docker_token", "dckr_", r"\bdckr_(?:pat|oat)_[A-Za-z0-9_-]{24,40}"),
    ("newrelic_key", "nrak-", r"\bNRAK-[A-Z0-9]{27}\b"),
    ("sentry_token", "sntry", r"\bsntry[su]_[A-Za-z0-9_=+/.-]{40,300}"),
    ("cloudflare_token", "cfut_ cfat_ cfk_", r"\bcf(?:ut|at|k)_[A-Za-z0-9_-]{32,64}"),
    ("azure_key", "accountkey", r"AccountKey=[A-Za-z0-9+/]{86}=="),
    ("jwt", "eyj", r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{16,}"),
    ("private_key", "private key", _PEM),
)  # fmt: skip
"""Kind, what has to stand in a text (in small letters) for it to be looked for, and its form."""

_SAID: Final[tuple[tuple[str, str, str], ...]] = (
    (
        "aws_secret_key",
        "aws",
        r"(?i:aws)[^\n]{0,40}?(?i:secret|key)[^\n]{0,20}?[^A-Za-z0-9/+]([A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+=]|$)",
    ),
    ("url_password", "://", r"[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s:/?#@\"']{0,100}:([^\s:/?#@\"']{3,200})@[^\s/\"']"),
    ("bearer_token", "bearer", r"(?i:bearer)[ :=\"']{1,3}([A-Za-z0-9._~+/=-]{16,500})"),
    ("basic_credentials", "basic", r"(?i:authorization\W{1,4}basic) ([A-Za-z0-9+/=]{8,400})"),
    (
        "password",
        "",
        r"(?i:" + _NAMES + r")[\w.-]{0,24}[\"']?\]?\s{0,3}(?::=|=>|=|:|\bis:?\s|\bwas:?\s)\s{0,3}[\"'`]?(" + _VALUE + r"{6,300})",
    ),
)  # fmt: skip
"""As `_FORMS`; the first group is the secret, and it has to look like one."""

_NAMED: Final = re2.compile(r"(?i)(?:" + _NAMES + r")|^(?:token|key|pin|otp|cvv|cvc)$")
_HINTS: Final = (
    *("password", "passwd", "passphrase", "passcode", "pwd", "secret", "key", "token"),
    *("credential", "passwort", "kennwort", "contrase", "mot de passe", "senha", "wachtwoord"),
)
_HINTED: Final = re2.compile("(?i)" + "|".join(_HINTS))


class _Form(NamedTuple):
    kind: str
    hints: tuple[str, ...]
    pattern: re2._Regexp
    group: int


_ALL: Final = tuple(
    [_Form(kind, tuple(hints.split()), re2.compile(form), 0) for kind, hints, form in _FORMS]
    + [_Form(kind, tuple(hints.split()), re2.compile(form), 1) for kind, hints, form in _SAID]
)
_ALL_HINTS: Final = tuple({hint for form in _ALL for hint in form.hints})
_USUAL_NAME: Final = 64


def is_secret_name(name: str) -> bool:
    """Whether a field of this name holds a secret."""
    return _is_named(name) if len(name) <= _USUAL_NAME else _is_named.__wrapped__(name)


@lru_cache(maxsize=4096)
def _is_named(name: str) -> bool:
    """Remembered, for the same fields come with each call."""
    return _NAMED.search(name) is not None


def is_secret_value(text: str) -> bool:
    """Whether the value of a field of such a name can be the secret itself, all of it."""
    return (
        len(text) <= 300
        and not any(map(str.isspace, text))
        and not _is_example(text)
        and _looks_secret("password", text)
    )


def find_secrets(text: str) -> Iterator[Found]:
    """The secrets in a text, in each of its readings."""
    seen: set[tuple[int, int]] = set()
    for view in views(text):
        for found in _in_view(view):
            if (found.start, found.end) not in seen:
                seen.add((found.start, found.end))
                yield found


def _in_view(view: View) -> Iterator[Found]:
    text = view.text
    low = text.lower()
    if not any(map(low.__contains__, _ALL_HINTS)) and not _is_hinted(text, low):
        return
    for form in _ALL:
        if form.hints:
            if not any(hint in low for hint in form.hints):
                continue
        elif not _is_hinted(text, low):
            continue
        if form.group and view.is_broken:
            continue  # whatever begins the next line would be taken for a part of it
        for match in form.pattern.finditer(text):
            value = match[form.group]
            if _is_example(value) or (form.group and not _looks_secret(form.kind, value)):
                continue
            if form.group:
                value = value.rstrip(".!?:\\")
            start = match.start(form.group)
            span = view.span(start, start + len(value))
            yield Found(form.kind, *span, value)


def _is_hinted(text: str, low: str) -> bool:
    if text.isascii():  # there RE2 and `lower` mean the same by letter case
        return any(map(low.__contains__, _HINTS))
    return _HINTED.search(text) is not None


_EXAMPLES: Final = re2.compile(
    r"(?i)example|changeme|change_me|placeholder|redacted|your[-_]?|dummy|sample|foobar|xxxx|\*\*\*"
    r"|\.\.\.|^[<$%{]|\$\{|\{\{|%\(|<[a-z]"
)


def _is_example(value: str) -> bool:
    """Whether a value is one that documents show, or the name of where the real one is."""
    return _EXAMPLES.search(value) is not None or len(set(value)) <= 3


_CODE: Final = re2.compile(
    r"(?i)^(?:os\.|process\.|env\.|self\.|this\.|config\.|settings\.|args\.|vault:|secret://|file:|https?:"
    r"|\./|/[a-z]+/|~/|none$|null$|true$|false$|required$|optional$|string$|str$|undefined$)"
    r"|^[a-z]+(?:[._][a-z]+)+\($|(?-i:^[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+$)|^[0-9]{4}-[0-9]{2}-[0-9]{2}"
)


def _looks_secret(kind: str, value: str) -> bool:
    """Whether what a name says is a secret can be one: no word, path, date or piece of code."""
    if kind == "url_password":
        return value.lower() not in {"password", "pass", "secret", "pwd"}
    value = value.rstrip(".!?:\\")
    if len(value) < 6 or _CODE.search(value) is not None:
        return False
    if kind != "password":
        return _kinds_of_signs(value) >= 2
    signs = _kinds_of_signs(value)
    return (signs >= 2 and any(each.isdigit() for each in value)) or signs >= 3


def _kinds_of_signs(value: str) -> int:
    inner = value[1:]  # a capital at the beginning makes no secret
    kinds = (
        any("a" <= each <= "z" for each in value),
        any("A" <= each <= "Z" for each in inner),
        any("0" <= each <= "9" for each in value),
        any(not each.isalnum() and each not in "-_." for each in value),
    )
    return sum(kinds)
