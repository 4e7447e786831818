"""`wardline policy build`, `verify`, `reload`: policies as one signed file, and into force."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from permissions.cli.policy.folder import AsJson, Folder, Overlay, print_json, shown, sound

if TYPE_CHECKING:
    from permissions.model import JsonObject
    from permissions.setup.policies import NamedPolicies


def build(
    folder: Folder = None,
    *,
    overlay: Overlay = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", dir_okay=False, help="The archive to write.")
    ] = Path("policies.tar.gz"),
    key: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Sign it: an Ed25519 key (PEM)."),
    ] = None,
    sequence: Annotated[
        int | None,
        typer.Option(
            min=1, max=2**53 - 1, help="Which release it is: each is above the one before."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Build policies into one file, a bundle that a broker or an OPA server loads.

    The policies are checked first. The same policies, key and sequence give the same bytes.
    The file is OPA's bundle format with OPA's signature (algorithm EdDSA), so `opa run -b`
    verifies it, too.

    \b
    Examples:
      $ wardline policy build --overlay mine
      $ wardline policy build --overlay mine --key release.pem --sequence 7 -o release.tar.gz
    """
    from permissions import files
    from permissions.errors import SigningError
    from permissions.pdp.opa_bundle import opa_bundle
    from permissions.signing.key_uris import signer_from_uri

    bundle = sound(folder, overlay)
    try:
        signer = None if key is None else signer_from_uri(f"file:{key}")
    except SigningError as err:
        raise SigningError(f"{err}; `wardline policy key FILE` makes one that signs") from err
    archive = opa_bundle(bundle, sequence=sequence, signer=signer)
    files.replace(output.absolute(), archive, mode=0o644)
    if as_json:
        print_json(
            {
                "output": str(output),
                "revision": bundle.revision,
                "sequence": sequence,
                "signed": signer is not None,
                "bytes": len(archive),
            }
        )
        return
    typer.echo(bundle.revision)
    signed = "signed" if signer is not None else "not signed (--key FILE signs it)"
    numbered = "without a sequence" if sequence is None else f"sequence {sequence}"
    typer.echo(shown(f"{output}: {len(archive):,} bytes, {signed}, {numbered}"), err=True)


def key(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the private key goes.")],
) -> None:
    """Make a key that signs bundles: FILE, yours alone to read, and FILE.pub beside it.

    \b
    Examples:
      $ wardline policy key release.pem
    """
    from permissions.signing.keys import generate, public_half

    generate(file)
    typer.echo(shown(f"{file} signs bundles; pin {public_half(file)} (pdp.bundle_keys)"))


def verify(
    archive: Annotated[Path, typer.Argument(exists=True, dir_okay=False, metavar="FILE")],
    *,
    key: Annotated[
        list[Path] | None,
        typer.Option(exists=True, dir_okay=False, help="A public key that may have signed it."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Verify a bundle: that a key signed exactly these files, and that a broker would serve them.

    Takes what `wardline policy build` made, and what `opa build -b . --signing-key` made inside
    a folder of policies. Exit code 1 when it must not be used.

    \b
    Examples:
      $ wardline policy verify release.tar.gz --key release.pub
    """
    from permissions.pdp.lint.bundle import require_sound
    from permissions.setup.policies import read_release

    found = read_release(archive, tuple(key or ()))
    require_sound(found.bundle)
    if as_json:
        print_json(_document(found))
        return
    by = "nobody (no key was asked for)" if found.signed_by is None else found.signed_by[:16]
    typer.echo(found.bundle.revision)
    typer.echo(f"signed by {by}, {_numbered(found)}, {len(found.bundle.modules)} modules")


def reload(
    *,
    state: Annotated[
        Path | None, typer.Option("--dir", help="The state folder of the broker.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings; wardline.toml by default.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Reload the policies of a running broker.

    It loads what its settings name again. Calls that have not begun to run by then are decided
    under the new policies, and its record says who asked. Policies that must not come into
    force change nothing: the findings say why, and the exit code is 1.

    \b
    Examples:
      $ wardline policy reload
      $ wardline policy reload --dir /var/lib/agent/.wardline
    """
    from permissions.setup.config import BrokerConfig
    from permissions.setup.control import ask_reload

    overrides = {} if state is None else {"state": state}
    before, now = ask_reload(BrokerConfig.load(config, **overrides).state)
    if as_json:
        print_json({"before": before, "now": now, "changed": before != now})
    else:
        typer.echo(now)
        typer.echo("in force already" if before == now else f"instead of {before}", err=True)


def _numbered(found: NamedPolicies) -> str:
    return "without a sequence" if found.sequence is None else f"sequence {found.sequence}"


def _document(found: NamedPolicies) -> JsonObject:
    return {
        "revision": found.bundle.revision,
        "sequence": found.sequence,
        "signed_by": found.signed_by,
        "modules": sorted(found.bundle.modules),
        "tests": sorted(found.bundle.tests),
    }
