"""`hyok bench`: what it refuses, what it writes, and that a measured gateway is left clean."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import botocore.session
import pytest
from benchmarks.side_by_side.client import send
from benchmarks.side_by_side.requests import Ask, Slice, make_pattern
from benchmarks.side_by_side.roads import Store, memory_store
from botocore.config import Config
from tests.fakes.hsm_tokens import FAMILIES, HAS_SOFTHSM, PIN, softhsm
from typer.testing import CliRunner

from hyok.cli.bench_compare import names_of, render, rows_of
from hyok.cli.bench_gateway import Run, parse_sizes
from hyok.cli.bench_hsm import parse_counts
from hyok.cli.main import app
from hyok.errors import HyokError, Malformed, Refused, Tampered, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATTERN = make_pattern(3)
PROFILES = "hsm/profiles"


# -- hsm -------------------------------------------------------------------------------------------


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["bench", *arguments])


def module_of(folder: Path) -> list[str]:
    spec = softhsm(folder)
    (folder / "pin").write_text(PIN)
    (folder / "pin").chmod(0o600)
    command = ["hsm", "--module", spec.module, "--token", spec.token_label]
    command += ["--pin-file", str(folder / "pin"), "--profiles-directory", PROFILES]
    return [*command, "--environment", f"SOFTHSM2_CONF={spec.environment['SOFTHSM2_CONF']}"]


@pytest.mark.skipif(not HAS_SOFTHSM, reason="no SoftHSM here")
def test_a_module_that_may_be_production_is_not_touched_without_leave(tmp_path: Path) -> None:
    done = run(*module_of(tmp_path))
    assert isinstance(done.exception, Refused)
    assert done.exception.code == "HY-2455"
    assert "as fast as they answer" in str(done.exception)
    assert list(tmp_path.glob("softhsm-a/tokens/*/generation")) != []
    assert done.stdout == ""


@pytest.mark.skipif(not HAS_SOFTHSM, reason="no SoftHSM here")
def test_a_named_module_is_measured_and_the_result_has_no_secret(tmp_path: Path) -> None:
    output = tmp_path / "result.json"
    command = [*module_of(tmp_path), "--yes", "--seconds", "0.05", "--output", str(output)]
    command += ["--sessions", "2", "--callers", "4,1", "--scopes", "100", "--workers", "2"]
    done = run(*command, "--json", "--site", "Ons Dorp")
    assert done.exit_code == 0, done.output
    told = json.loads(output.read_text())
    assert json.loads(done.stdout) == told
    (token,) = told["tokens"]
    assert token["usable_profiles"] == list(FAMILIES["softhsm"].profiles)
    assert token["safe_sessions"] >= 1
    wanted = told["recommended"]
    assert wanted["sessions"] == token["safe_sessions"]
    assert wanted["read_cache_seconds"] >= 1
    assert wanted["operations_per_second"] == token["rate_best"]
    assert told["failover"]["not_measured"]
    assert (told["site"], told["module"]) == ("Ons Dorp", "libsofthsm2.so")
    for secret in (PIN, "hyok-test", str(tmp_path)):
        assert secret not in output.read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--module", "x.so"], "--token and --pin-file"),
        (
            ["--module", "x.so", "--token", "t", "--pin-file", "p", "--profile", "none"],
            "no HSM family none",
        ),
    ],
)
def test_half_a_module_is_refused(arguments: list[str], said: str) -> None:
    done = run("hsm", *arguments, "--profiles-directory", PROFILES)
    assert isinstance(done.exception, Malformed)
    assert done.exception.code == "HY-2454"
    assert said in str(done.exception)


# -- gateway ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    made = memory_store(tmp_path_factory.mktemp("bench"), 256 << 20)
    try:
        assert send(made.road, Ask("PUT", "/mine"), PATTERN).status == 200
        assert send(made.road, Ask("PUT", "/mine/kept", body=Slice(0, 9)), PATTERN).status == 200
        yield made
    finally:
        made.stop()


@pytest.fixture
def client(store: Store) -> Iterator[Any]:
    made = botocore.session.Session().create_client(
        "s3",
        endpoint_url=f"http://{store.road.host}",
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 0}),
    )
    yield made
    made.close()


def names(store: Store) -> list[str]:
    answer = send(store.road, Ask("GET", "/mine", (("list-type", "2"),)), PATTERN)
    space = "" if b"xmlns" not in answer.body else "{*}"
    return [one.text or "" for one in ElementTree.fromstring(answer.body).iter(f"{space}Key")]


def test_a_gateway_is_measured_and_left_as_it_was(store: Store, client: Any) -> None:
    done = Run(client, "mine", 4, 0.2)
    done.measure(1000)
    assert len(names(store)) > 1
    done.clean()
    assert names(store) == ["kept"]
    assert [(cell.call, cell.size_bytes) for cell in done.cells] == [("PUT", 1000), ("GET", 1000)]
    assert all(cell.operations >= 4 and cell.p99_ms >= cell.p50_ms > 0 for cell in done.cells)


def test_a_body_that_was_changed_is_an_error_and_all_is_cleaned(
    store: Store, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = Run(client, "mine", 2, 0.2)
    put = client.put_object

    def bad(**named: Any) -> Any:
        return put(**{**named, "Body": named["Body"][:-1] + b"?"})

    monkeypatch.setattr(client, "put_object", bad)
    with pytest.raises(Tampered, match="another body") as failed:
        done.measure(1000)
    assert failed.value.code == "HY-2458"
    done.clean()
    assert names(store) == ["kept"]


def test_a_bucket_that_is_not_there_is_said(client: Any) -> None:
    done = Run(client, "not-mine", 2, 0.2)
    with pytest.raises(Unavailable, match="NoSuchBucket") as failed:
        done.measure(10)
    assert failed.value.code == "HY-2457"


def test_what_cannot_be_taken_away_is_said(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    done = Run(client, "mine", 1, 0.2)
    done.measure(10)
    delete = client.delete_object
    refused = client.exceptions.ClientError({"Error": {"Code": "AccessDenied"}}, "DeleteObject")

    def no(**_: Any) -> None:
        raise refused

    made = dict(done.made)
    monkeypatch.setattr(client, "delete_object", no)
    with pytest.raises(Unavailable, match="stay in mine") as failed:
        done.clean()
    assert failed.value.code == "HY-2459"
    for key, _ in made:
        delete(Bucket="mine", Key=key)


def test_counts() -> None:
    assert parse_counts("4, 1,4") == (1, 4)
    for wrong in ("", "0", "65", "1,,2", "a", "-1"):
        with pytest.raises(Malformed) as refused:
            parse_counts(wrong)
        assert refused.value.code == "HY-2460"


def test_sizes() -> None:
    assert parse_sizes("1k,5,2M,1g") == [1024, 5, 2 << 20, 1 << 30]
    for wrong in ("", "0", "2g", "-1", "1kk", "k", "٣"):
        with pytest.raises(Malformed):
            parse_sizes(wrong)


# -- compare ---------------------------------------------------------------------------------------


def result(rate: int, **more: object) -> dict[str, Any]:
    cell = {"call": "PUT", "size_bytes": 1024, "operations": rate, "seconds": 1.0}
    return {
        "kind": "hyok-bench-gateway",
        "version": 1,
        "at": "2026-01-01T00:00:00Z",
        "site": "",
        "hyok": "0.1.0",
        "machine": {"cpu": "a CPU", "cpus": 2, "load_average": [0.1, 0.2, 0.3]},
        "cells": [{**cell, "p50_ms": 1.5, "p99_ms": 2.5}],
        **more,
    }


def test_results_stand_beside_each_other_with_ratios(tmp_path: Path) -> None:
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for file, rate in zip(files, (100, 250), strict=True):
        file.write_text(json.dumps(result(rate)))
    page = tmp_path / "page.html"
    done = run("compare", *map(str, files), "--html", str(page), "--json")
    assert done.exit_code == 0, done.output
    (row,) = json.loads(done.stdout)
    assert row["a"] == "100.0/s, p50 1.5 ms, p99 2.5 ms"
    assert row["b"].startswith("250.0/s (2.50x)")
    assert "2.50x" in page.read_text()


def test_the_page_of_a_file_of_others_runs_no_script(tmp_path: Path) -> None:
    documents = [result(1, site="<script>alert(1)</script>"), result(2, hyok="<b>")]
    names_ = names_of(documents, [tmp_path / "a", tmp_path / "b"])
    page = render(documents, names_, rows_of(documents, names_))
    assert "<script" not in page
    assert "<b>" not in page


def test_two_of_one_site_have_two_names(tmp_path: Path) -> None:
    documents = [result(1, site="x"), result(2, site="x")]
    assert names_of(documents, [tmp_path / "a", tmp_path / "b"]) == ["x", "x (2)"]


@pytest.mark.parametrize(
    "texts",
    [
        ["{}", "{}"],
        ["no JSON", "[]"],
        [json.dumps(result(1))],
        [json.dumps(result(1)), json.dumps(result(1, kind="hyok-bench-hsm", tokens=[]))],
        [json.dumps(result(1)), json.dumps(result(1, version=2))],
    ],
)
def test_what_cannot_be_compared_is_refused(tmp_path: Path, texts: list[str]) -> None:
    files = []
    for number, text in enumerate(texts):
        files.append(tmp_path / f"{number}.json")
        files[-1].write_text(text)
    done = run("compare", *map(str, files), "--html", str(tmp_path / "page.html"))
    assert isinstance(done.exception, HyokError)
    assert done.exception.code == "HY-2453"
    assert not (tmp_path / "page.html").exists()
