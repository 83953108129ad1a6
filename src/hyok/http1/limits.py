"""Limits of the engine, each with a name."""

from __future__ import annotations

from dataclasses import dataclass

BODY_BYTES_PER_SECOND_MIN = 1024
"""Of a body, over more than a stall's time: who is slower holds a thread for too long."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one peer may take.  Times in seconds, lengths in bytes."""

    head_bytes_max: int = 32 << 10
    header_count_max: int = 128
    head_seconds_max: float = 15.0
    idle_seconds_max: float = 60.0
    body_bytes_per_second_min: int = BODY_BYTES_PER_SECOND_MIN
    body_stall_seconds_max: float = 30.0
    connections_per_client_max: int = 512
    requests_in_flight_max: int = 1024
    discard_bytes_max: int = 256 << 10
    chunk_line_bytes_max: int = 1024
