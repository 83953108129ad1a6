"""Runs one target under atheris for some seconds: ``engine.py NAME SECONDS SEED WORK_DIR``.

In a process of its own: the engine ends its process when it finds something.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import atheris

HERE = Path(__file__).resolve().parent
INPUT_BYTES_MAX = 8192


MEMORY_BYTES_MAX = 4 << 30


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    name, seconds, seed, work = sys.argv[1:5]
    sys.path.insert(0, str(HERE))
    with atheris.instrument_imports(include=["hyok"]):
        import targets

    def one(data: bytes) -> None:
        targets.run(name, data)

    for data in targets.corpus(name):
        one(data)
    print("the kept inputs pass", flush=True)  # so what is found now was not among them
    found = Path(work) / "found"
    found.mkdir()
    atheris.Setup(
        [
            sys.argv[0],
            f"-max_total_time={seconds}",
            f"-seed={seed}",
            f"-max_len={INPUT_BYTES_MAX}",
            f"-artifact_prefix={work}/",
            # Its alarm (at half of this) can end the process without a word; the caller limits.
            "-timeout=7200",
            # Its own limit counts what the process that started this one held; see below.
            "-rss_limit_mb=0",
            "-print_final_stats=1",
            str(found),
            str(HERE / "corpus" / name),
        ],
        one,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
