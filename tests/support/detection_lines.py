"""The labelled lines of tests/cases/detection.tsv, with made-up values in their blanks.

A line is what has to be found in it (`-` for nothing; kinds apart by commas), a tab, and a text.
`{{kind}}` is a blank: a value of that form, drawn anew each time and nobody's. So no line in the
repository looks like somebody's key, and no detector is measured on one value alone.
"""

from __future__ import annotations

import base64
import random
import re
import string
from pathlib import Path
from typing import NamedTuple

from stdnum import iban, luhn
from stdnum.br import cpf
from stdnum.es import dni
from stdnum.fr import nir
from stdnum.nl import bsn

LINES = Path(__file__).parent.parent / "cases" / "detection.tsv"
_BLANK = re.compile(r"\{\{([a-z0-9_]+)\}\}")
_ALNUM = string.ascii_letters + string.digits
_UPPER = string.ascii_uppercase + string.digits
_HEX = "0123456789abcdef"
_URL = _ALNUM + "-_"

_FORMS: dict[str, tuple[str, str, int, str]] = {
    # before, letters, how many, after
    "aws_access_key": ("AKIA", _UPPER, 16, ""),
    "aws_session_key": ("ASIA", _UPPER, 16, ""),
    "aws_secret_key": ("", _ALNUM + "/+", 40, ""),
    "github_token": ("ghp_", _ALNUM, 36, ""),
    "github_app_token": ("ghs_", _ALNUM, 36, ""),
    "github_fine_token": ("github_pat_", _ALNUM + "_", 82, ""),
    "gitlab_token": ("glpat-", _URL, 20, ""),
    "slack_token": ("xoxb-", string.digits, 12, "-3456789012345-AbCdEfGhIjKlMnOpQrStUvWx"),
    "stripe_key": ("sk_live_", _ALNUM, 24, ""),
    "stripe_long_key": ("rk_live_", _ALNUM, 99, ""),
    "google_key": ("AIza", _URL, 35, ""),
    "huggingface_token": ("hf_", string.ascii_letters, 34, ""),
    "npm_token": ("npm_", _ALNUM, 36, ""),
    "pypi_token": ("pypi-AgEIcHlwaS5vcmc", _URL, 120, ""),
    "sendgrid_key": ("SG.ab0123456789cdefghijkl.", _URL, 43, ""),
    "twilio_key": ("SK", _HEX, 32, ""),
    "mailgun_key": ("key-", _HEX, 32, ""),
    "mailchimp_key": ("", _HEX, 32, "-us12"),
    "shopify_token": ("shpat_", _HEX, 32, ""),
    "digitalocean_token": ("dop_v1_", _HEX, 64, ""),
    "databricks_token": ("dapi", _HEX, 32, ""),
    "telegram_token": ("8123456789:AA", _URL, 33, ""),
    "vault_token": ("hvs.", _URL, 90, ""),
    "anthropic_key": ("sk-ant-api03-", _URL, 93, "AA"),
    "openai_key": ("sk-proj-Ab3dEf7hIj0kLmNo", _URL, 50, "T3BlbkFJx9Yz8Wv7Ut6Sr5Qp4On3"),
    "grafana_token": ("glsa_", _ALNUM, 32, "_0a1b2c3d"),
    "linear_key": ("lin_api_", _ALNUM, 40, ""),
    "docker_token": ("dckr_pat_", _URL, 27, ""),
    "azure_key": ("", _ALNUM + "/+", 86, "=="),
    "hex_key": ("", _HEX, 40, ""),
    "signature": ("", _URL, 43, ""),
}  # fmt: skip


class Line(NamedTuple):
    """A text, and the kinds that have to be found in it."""

    text: str
    kinds: tuple[str, ...]


def lines(seed: int = 0, draws: int = 3) -> list[Line]:
    """Every labelled line; those with blanks `draws` times, with other values."""
    dice = random.Random(seed)  # noqa: S311 - the same lines each time
    found = []
    for raw in LINES.read_text("utf-8").splitlines():
        if not raw or raw.startswith("#"):
            continue
        label, _, text = raw.partition("\t")
        kinds = () if label == "-" else tuple(label.split(","))
        text = text.encode().decode("unicode_escape").encode("latin-1").decode()
        found += [
            Line(_BLANK.sub(lambda blank: value(blank[1], dice), text), kinds)
            for _ in range(draws if _BLANK.search(text) else 1)
        ]
    return found


def value(kind: str, dice: random.Random) -> str:
    """A value of this form."""
    if kind.startswith("base64_"):
        return base64.b64encode(value(kind.removeprefix("base64_"), dice).encode()).decode()
    if kind in _FORMS:
        before, letters, count, after = _FORMS[kind]
        return before + "".join(dice.choices(letters, k=count)) + after
    made: str = _MADE[kind](dice)
    return made


def _digits(dice: random.Random, count: int) -> str:
    return "".join(dice.choices(string.digits, k=count))


def _password(dice: random.Random) -> str:
    words = ("River", "stone", "Mango", "falcon", "Winter", "copper", "Delta", "orbit")
    return f"{dice.choice(words)}{dice.choice('!#%+_')}{_digits(dice, 3)}{dice.choice(words)}"


def _jwt(dice: random.Random) -> str:
    parts = [b'{"alg":"HS256","typ":"JWT"}', f'{{"sub":"{_digits(dice, 9)}"}}'.encode()]
    said = [base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts]
    return ".".join([*said, "".join(dice.choices(_URL, k=43))])


def _private_key(dice: random.Random) -> str:
    rows = ["".join(dice.choices(_ALNUM + "+/", k=64)) for _ in range(6)]
    inside = "\n".join(rows)
    kind = dice.choice(("RSA ", "EC ", "OPENSSH ", ""))
    return f"-----BEGIN {kind}PRIVATE KEY-----\n{inside}\n-----END {kind}PRIVATE KEY-----"


def _iban(dice: random.Random) -> str:
    country, length = dice.choice((("DE", 18), ("FR", 23), ("ES", 20), ("GB", 0), ("NL", 0)))
    if country == "GB":
        inner = "WEST" + _digits(dice, 14)
    elif country == "NL":
        inner = "ABNA" + _digits(dice, 10)
    else:
        inner = _digits(dice, length)
    for check in range(2, 99):
        if iban.is_valid(made := f"{country}{check:02}{inner}", check_country=False):
            return made if iban.is_valid(made) else _iban(dice)
    return _iban(dice)


def _card(dice: random.Random) -> str:
    first = dice.choice(("4" + _digits(dice, 14), "53" + _digits(dice, 13)))
    return first + luhn.calc_check_digit(first)


def _spaced_card(dice: random.Random) -> str:
    digits = _card(dice)
    return " ".join(digits[at : at + 4] for at in range(0, 16, 4))


def _ssn(dice: random.Random) -> str:
    return f"{dice.randint(101, 665)}-{dice.randint(10, 99)}-{dice.randint(1000, 9999)}"


def _until(make: object, check: object, dice: random.Random) -> str:
    while not check(made := make(dice)):  # type: ignore[operator]
        pass
    return str(made)


_MADE = {
    "password_url": lambda dice: (
        f"{_password(dice).translate({33: None, 35: None, 37: None, 43: None})}"
    ),
    "split": lambda dice: (m := value("github_token", dice)[4:])[:18] + "\n" + m[18:],
    "password": _password,
    "jwt": _jwt,
    "private_key": _private_key,
    "iban": _iban,
    "card": _card,
    "spaced_card": _spaced_card,
    "ssn": _ssn,
    "bsn": lambda dice: _until(lambda d: _digits(d, 9), bsn.is_valid, dice),
    "dni": lambda dice: (n := _digits(dice, 8)) + dni.calc_check_digit(n),
    "cpf": lambda dice: cpf.format((n := _digits(dice, 9)) + cpf._calc_check_digits(n)),
    "nir": lambda dice: (
        (n := f"2{dice.randint(50, 99)}05{dice.randint(10, 75)}{_digits(dice, 6)}")
        + nir.calc_check_digits(n)
    ),
    "plus_phone": lambda dice: f"+4930{dice.randint(10**6, 10**7 - 1)}",
    "us_phone": lambda dice: f"(212) 555-{dice.randint(1000, 9999)}",
    "email": lambda dice: (
        f"{dice.choice(('ana', 'b.lee', 'c_meyer'))}{dice.randint(1, 99)}@"
        f"{dice.choice(('mail.example.org', 'corp.example'))}"
    ),
    "uuid": lambda dice: "-".join(
        "".join(dice.choices(_HEX, k=count)) for count in (8, 4, 4, 4, 12)
    ),
    "digits": lambda dice: _digits(dice, 9),
    "order": lambda dice: str(dice.randint(10**9, 10**10 - 1)),
    "epoch": lambda dice: str(dice.randint(1_600_000_000_000, 1_900_000_000_000)),
    "sha256": lambda dice: "".join(dice.choices(_HEX, k=64)),
    "sha1": lambda dice: "".join(dice.choices(_HEX, k=40)),
}
