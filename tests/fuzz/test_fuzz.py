"""No parser does anything but answer or refuse, whatever it is given.

Each target runs under a coverage-guided fuzzer and under hypothesis, from a kept corpus.  The
fuzzer is shown to look: with a mistake planted in the program, each target finds it in twenty
seconds of computing.  ``HYOK_LONG=1`` runs ten minutes each; the seed is printed with a failure.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fuzz.targets import PLANTS, TARGETS, corpus, run

ROOT = Path(__file__).parents[2]
LONG = bool(os.environ.get("HYOK_LONG"))
SECONDS = 600 if LONG else 8
SECONDS_TO_FIND = 20  # of computing: a busy machine gives them later
WAIT_TO_FIND = 6 * SECONDS_TO_FIND
EXAMPLES = 20_000 if LONG else 200
AT_ONCE = 2
HAS_ENGINE = importlib.util.find_spec("atheris") is not None

pytestmark = pytest.mark.slow
needs_engine = pytest.mark.skipif(not HAS_ENGINE, reason="atheris has no wheel for this machine")


@dataclass(frozen=True, slots=True)
class Outcome:
    code: int
    output: str
    cpu_seconds: float


def fuzz(name: str, seconds: int, work: Path, source: Path) -> Outcome:
    """Run a target over the program in ``source`` in a process of its own."""
    work.mkdir()
    log = work / "output"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                sys.executable, str(Path(__file__).with_name("engine.py")), name, str(seconds),
                str(secrets.randbits(31) or 1), str(work),
            ],
            env={**os.environ, "PYTHONPATH": str(source)}, stdout=output, stderr=output,
        )  # fmt: skip
        ends = time.monotonic() + seconds + 120
        while not (waited := os.wait4(process.pid, os.WNOHANG))[0]:
            if time.monotonic() > ends:
                process.kill()  # an input from which the target does not return
            time.sleep(0.1)
    _, status, used = waited
    process.returncode = os.waitstatus_to_exitcode(status)
    said = log.read_text(errors="replace")
    return Outcome(process.returncode, said, used.ru_utime + used.ru_stime)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Outcome]]]:
    """Every target over the program as it is, two at a time."""
    work = tmp_path_factory.mktemp("sound")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            name: pool.submit(fuzz, name, SECONDS, work / name, ROOT / "src") for name in TARGETS
        }


@pytest.fixture(scope="module")
def mistaken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Outcome]]]:
    """Every target over a copy of the program with its mistake."""
    work = tmp_path_factory.mktemp("mistaken")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            name: pool.submit(
                fuzz, name, WAIT_TO_FIND, work / name, with_mistake(name, work / f"{name}-src")
            )
            for name in PLANTS
        }


def with_mistake(name: str, into: Path) -> Path:
    plant = PLANTS[name]
    shutil.copytree(
        ROOT / "src" / "hyok", into / "hyok", ignore=shutil.ignore_patterns("__pycache__")
    )
    file = into / "hyok" / plant.file
    text = file.read_text(encoding="utf-8")
    assert text.count(plant.line) == 1, f"the line of the mistake in {plant.file} has changed"
    file.write_text(text.replace(plant.line, plant.instead), encoding="utf-8")
    return into


@needs_engine
@pytest.mark.parametrize("name", sorted(PLANTS))
def test_a_planted_mistake_is_found(name: str, mistaken: dict[str, Future[Outcome]]) -> None:
    outcome = mistaken[name].result()
    assert "the kept inputs pass" in outcome.output, "the mistake needs no looking for"
    assert outcome.code != 0, f"{name} did not find its mistake:\n{outcome.output[-3000:]}"
    assert "Uncaught Python exception" in outcome.output, outcome.output[-3000:]
    assert outcome.cpu_seconds < SECONDS_TO_FIND


@needs_engine
@pytest.mark.parametrize("name", sorted(TARGETS))
def test_the_fuzzer_finds_nothing(name: str, sound: dict[str, Future[Outcome]]) -> None:
    outcome = sound[name].result()
    assert outcome.code == 0, outcome.output[-6000:]
    assert "stat::number_of_executed_units" in outcome.output  # it did run


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_the_kept_inputs_pass(name: str) -> None:
    kept = corpus(name)
    assert kept
    for data in kept:
        run(name, data)


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_hypothesis_finds_nothing(name: str) -> None:
    kept = corpus(name)

    @settings(
        max_examples=EXAMPLES, deadline=None, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(mutated(kept))
    def search(data: bytes) -> None:
        run(name, data)

    search()


def mutated(kept: list[bytes]) -> st.SearchStrategy[bytes]:
    """Kept inputs with pieces taken out, put in, or of another input."""

    @st.composite
    def change(draw: st.DrawFn) -> bytes:
        data = draw(st.sampled_from(kept))
        for _ in range(draw(st.integers(1, 4))):
            start = draw(st.integers(0, len(data)))
            stop = min(len(data), start + draw(st.integers(0, 16)))
            other = draw(st.sampled_from(kept))
            cut = draw(st.integers(0, len(other)))
            put = draw(st.binary(max_size=8) | st.just(other[cut : cut + 32]))
            data = data[:start] + put + data[stop:]
        return data

    return change() | st.binary(max_size=64)
