"""What every packet says of itself, and how it is verified."""

from __future__ import annotations

README = """\
# An evidence packet

Of the log `{origin}`: {what}, verified when the packet was made ({made}) as
**{integrity}**, **{anchoring}**. `card.md` says what was recorded, `verdict.json` all that the
verifier said, `explorer.html` shows it in a browser (a picture; what proves is below).

You need `sha256sum`, `openssl` 3 and Python 3.9 or newer; nothing of the project that wrote it.
Run this in this folder:

```console
$ sha256sum --check --strict SHA256SUMS
{signed}$ openssl pkeyutl -verify -pubin -inkey log-key.pem -rawin -in checkpoint -sigfile checkpoint.sig
$ python3 -I verify.py
{steps}```

1. `sha256sum`: nothing changed since the packet was made.
2. `openssl`: this key signed this checkpoint, which counts {size} entries and names their root.
3. `verify.py`: the records are those entries, byte for byte, and what is in `contents/` is what
   they were sealed with. It is short and uses the standard library alone: read it first. The
   format is `docs/reference/trace-format.md` of Wardline, version 2.

The key is as good as where you have it from. Compare the line below with one that was handed to
you by somebody else than whoever gave you this packet; and the checkpoint with one kept elsewhere.

```console
$ openssl pkey -pubin -in log-key.pem -outform DER | tail -c 32 | base64
{key}
```

As a C2SP verifier key, which names the log as well: `{vkey}`

| file | holds |
|---|---|
| `records.jsonl` | the entries as they were signed, one a line |
| `proofs.jsonl` | for each of them its path to the root, when not all are here (RFC 6962) |
| `checkpoint`, `checkpoint.sig`, `checkpoint.note` | the signed text, the signature, both as a C2SP note |
| `openings.jsonl`, `contents/` | what was opened, and what ties it to its record |
| `policies/` | the policy bundles that decided, by revision |
| `card.md`, `verdict.json`, `explorer.html` | what was recorded, what the verifier said, a view |

What no record can show: {limits}
"""
LIMITS = (
    "a call that went around the broker, a tool that lies about what it did, and what happened"
    " after the last checkpoint."
)
