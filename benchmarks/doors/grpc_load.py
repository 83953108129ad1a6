"""So many callers of one method over a Unix socket, for some seconds; prints one JSON object."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from base64 import b64decode
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

from grpc import aio

from hyok.doors.kubernetes.messages import MESSAGES, SERVICE


async def ask_for(
    path: str, method: str, asked: bytes, plain: bytes, connections: int, seconds: float
) -> dict[str, Any]:
    took: list[float] = []
    first_error = ""

    async def caller() -> None:
        nonlocal first_error
        # Channels of one process share a connection, unless they are told not to.
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with aio.insecure_channel(f"unix:{path}", options=options) as channel:
            call = channel.unary_unary(f"/{SERVICE}/{method}")
            while (began := time.monotonic()) < ends and not first_error:
                answer = await call(asked, timeout=3)
                took.append(time.monotonic() - began)
                told = MESSAGES[f"{method}Response"].FromString(answer)
                if method == "Decrypt" and told.plaintext != plain:
                    first_error = "another plaintext"

    began = time.monotonic()
    ends = began + seconds
    await asyncio.gather(*(caller() for _ in range(connections)))
    took.sort()
    return {
        "operations": len(took),
        "seconds": time.monotonic() - began,
        "p50_us": 1e6 * took[len(took) // 2],
        "p99_us": 1e6 * took[int(0.99 * (len(took) - 1))],
        "errors": int(bool(first_error)),
        "first_error": first_error,
    }


if __name__ == "__main__":
    method, path, asked, plain, connections, seconds = sys.argv[1:]
    told = ask_for(
        path, method, b64decode(asked), b64decode(plain), int(connections), float(seconds)
    )
    print(json.dumps(asyncio.run(told)))
