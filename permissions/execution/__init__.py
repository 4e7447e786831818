"""Where a permitted call runs: in the caller's process, or in a disposable sandbox."""
