"""`python -m agents_demo [DIR]`: the demonstration, on the sample or on a folder of your own."""

from __future__ import annotations

import sys
from pathlib import Path

from agents_demo.aftermath import examine, judge
from agents_demo.job import prepare, work
from agents_demo.narrator import heading, say


def run(folder: Path | None, *, port: int | None = None) -> int:
    """Runs the demo; 0 when everything came out as it must.

    With a port it runs against a daemon, whose console is there.

    Raises:
        ConfigError: the folder does not hold such a job.
    """
    job = prepare(folder, port=port)
    narrator = work(job)
    wrong = judge(job, narrator) if folder is None else []
    wrong += examine(job)
    refused = sum(how == "DENIED" for _, how, _ in narrator.endings)
    heading("Summary")
    ran = sum(how == "ran" for _, how, _ in narrator.endings)
    say(f"  {ran} calls ran, {refused} were denied. Drafts: {job.workspace / 'outbox'}")
    say(f"  Read on: wardline trace list --dir {job.layout.root}")
    for each in wrong:
        say(f"  WRONG: {each}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]) if len(sys.argv) > 1 else None))
