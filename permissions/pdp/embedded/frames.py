"""The headers of the frames between the broker and an evaluator process (see `worker`).

Network byte order: length of the payload, number of the question; an answer has its kind too.
"""

from __future__ import annotations

import struct

QUESTION = struct.Struct("!IQ")
ANSWER = struct.Struct("!IQc")
