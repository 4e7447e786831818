"""`wardline policy`: check, test, try and release policies before anybody is held to them.

Exit codes: 0 sound, passed or permitted; 1 findings, failed tests or a difference; 2 wrong
usage; 3 denied; 4 denied until a person approves; 6 the policy gave no clear answer.
"""

from permissions.cli.policy.check import check
from permissions.cli.policy.comparing import diff, fuzz_
from permissions.cli.policy.explain import explain
from permissions.cli.policy.library import app as library
from permissions.cli.policy.release import build, key, reload, verify
from permissions.cli.policy.shadow import shadow
from permissions.cli.policy.tests import run_test_rules
from permissions.cli.policy.trying import try_call
from permissions.cli.program import noun

app = noun("Check, test, try and release policies.")
app.command()(check)
app.command("test")(run_test_rules)
app.command("try")(try_call)
app.command()(explain)
app.command()(diff)
app.command("fuzz")(fuzz_)
app.command()(key)
app.command()(build)
app.command()(verify)
app.command()(reload)
app.command()(shadow)
app.add_typer(library, name="library")

__all__ = ["app"]
