"""What a journal's client and the writer say to each other.

To the writer: one byte (``D`` durable, ``B`` batched) and one canonical JSON line, again and again.
Back: one byte for each, in order: ``+`` kept (durable: on disk), ``-`` refused.
"""

from __future__ import annotations

DURABLE = b"D"
BATCHED = b"B"
KEPT = ord("+")
REFUSED = ord("-")
