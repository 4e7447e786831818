"""Detectors: what a text holds that should not leave, or should not be recorded.

Built once, for the labels that policies see and for what is replaced in the record. A detector
never decides anything, and none is perfect: `docs/explanation/detection.md` has measured rates.
"""
