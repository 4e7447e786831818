"""How much detectors find of the labelled lines, and where they find what is not there."""

from __future__ import annotations

from collections import Counter

from detection_lines import lines

from permissions.detection.detectors import SHIPPED, Detectors

SECRETS_BY_NAME = frozenset(
    {"password", "bearer_token", "basic_credentials", "url_password", "aws_secret_key"}
)
"""Kinds that are told by what stands before them; all others of `secrets` have a form."""


def table() -> str:
    """The measured rates as the table of docs/explanation/detection.md."""
    looked, there, hit, wrong, clean = Detectors(), Counter(), Counter(), Counter(), 0
    forms: set[str] = set()
    for line in lines():
        found = looked.look_now(line.text, SHIPPED)
        forms |= {each.kind for each in found["secrets"]}
        kinds = {each.kind for by in found.values() for each in by}
        for kind in line.kinds:
            there[kind] += 1
            hit[kind] += kind in kinds
        if not line.kinds:
            clean += 1
            for name, by in found.items():
                wrong[name] += bool(by)
    personal = {"email", "iban", "payment_card", "phone", "national_id", "date_of_birth"}
    by_form = sorted(there.keys() - personal - SECRETS_BY_NAME)
    rows = [("secrets with a form of their own", by_form)]
    rows += [(f"`{kind}`", [kind]) for kind in sorted(there.keys() & SECRETS_BY_NAME)]
    rows += [(f"`{kind}`", [kind]) for kind in sorted(personal)]
    said = ["| kind | lines | found | missed |", "|---|---|---|---|"]
    for name, kinds in rows:
        all_of, found_of = sum(there[k] for k in kinds), sum(hit[k] for k in kinds)
        said.append(f"| {name} | {all_of} | {found_of} | {all_of - found_of} |")
    total, found_in_all = there.total(), hit.total()
    said.append(f"| all | {total} | {found_in_all} | {total - found_in_all} |")
    said.append("")
    said.append(
        f"False alarms in {clean} lines that hold nothing: {wrong['secrets']} of `secrets`,"
        f" {wrong['personal']} of `personal`."
    )
    return "\n".join(said)


if __name__ == "__main__":
    print(table())  # noqa: T201 - a program
