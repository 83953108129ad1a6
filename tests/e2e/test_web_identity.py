"""A workload with a Kubernetes token and no key of its own works through real clients.

One installation, two gateway processes, and an issuer over TLS as a Kubernetes API server is one.
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric import ec
from tests.e2e import forked
from tests.e2e.running import Gateway, configure, serve, start
from tests.peers.oidc_issuer import KEYS, OidcIssuer

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.slow]

AUDIENCE = "https://hyok.example"
SUBJECT = "system:serviceaccount:zaken:archief"
ROLE = "arn:hyok:iam::gemeente:role/archief"
PLAIN_ROLE = "arn:aws:iam::000000000000:role/archief"
BUCKET = "vertrouwelijk"


@dataclass
class Stage:
    """Everything that these tests play on."""

    home: Path
    issuer: OidcIssuer
    config: Path
    first: Gateway
    second: Gateway

    def hyok(self, *command: str) -> Any:
        """Run a command of the operator; return what its JSON says, if it has any."""
        done = forked.hyok(*command, "--config", str(self.config))
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if "--json" in command else done.stdout

    def environment(self, token: str, role: str = ROLE, **more: str) -> dict[str, str]:
        """Return what the workload's pod has, and nothing else of AWS."""
        file = self.home / f"token-{time.monotonic_ns()}"
        file.write_text(token)
        clean = {name: value for name, value in os.environ.items() if name[:4] != "AWS_"}
        return {
            **clean,
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(file),
            "AWS_ROLE_ARN": role,
            "AWS_ROLE_SESSION_NAME": "archief-7d4b9",
            "AWS_ENDPOINT_URL": self.first.endpoint,
            "AWS_CA_BUNDLE": str(self.home / "ca.pem"),
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_EC2_METADATA_DISABLED": "true",
            **more,
        }

    def assume(self, token: str, role: str = ROLE, **more: Any) -> dict[str, Any]:
        client = boto3.client(
            "sts",
            endpoint_url=self.first.endpoint,
            region_name="us-east-1",
            verify=str(self.home / "ca.pem"),
            config=Config(signature_version=UNSIGNED, retries={"max_attempts": 0}),
        )
        answer: dict[str, Any] = client.assume_role_with_web_identity(
            RoleArn=role, RoleSessionName="tests", WebIdentityToken=token, **more
        )
        return answer

    def refusal(self, token: str, role: str = ROLE, **more: Any) -> str:
        with pytest.raises(ClientError) as caught:
            self.assume(token, role, **more)
        return str(caught.value.response["Error"]["Code"])

    def s3(self, session: dict[str, Any], gateway: Gateway | None = None, **more: Any) -> Any:
        held = session["Credentials"]
        return boto3.client(
            "s3",
            endpoint_url=(gateway or self.first).endpoint,
            aws_access_key_id=held["AccessKeyId"],
            aws_secret_access_key=held["SecretAccessKey"],
            aws_session_token=held["SessionToken"],
            region_name="us-east-1",
            verify=str(self.home / "ca.pem"),
            config=Config(retries={"max_attempts": 0}, signature_version="s3v4", **more),
        )

    def records(self, request_id: str) -> list[dict[str, Any]]:
        log = self.home / "audit" / "first.jsonl"
        found = [json.loads(line) for line in log.read_text().splitlines() if request_id in line]
        return [line for line in found if line.get("request_id") == request_id]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    home = tmp_path_factory.mktemp("sts") / "home"
    start(home).stop()
    with OidcIssuer(home) as issuer:
        more = (
            "[web_identity]\nfetch_pause_seconds = 1.0\nfailures_per_minute_max = 100000\n"
            f'[[web_identity.issuers]]\nissuer = "{issuer.url}"\nca_file = "{issuer.ca_file}"\n'
        )
        config = configure(home, "first", more, https=True)
        gateways = [serve(config), serve(configure(home, "second", more, https=True))]
        stage = Stage(home, issuer, config, *gateways)
        try:
            create = ["apps", "create", "archief", "--tenant", "gemeente"]
            stage.hyok(*create, "--purpose", "archivering")
            stage.hyok(*trusting(issuer.url))
            yield stage
        finally:
            for gateway in gateways:
                gateway.stop()


def trusting(issuer: str, subject: str = SUBJECT, **more: str) -> list[str]:
    """Return the command that trusts a subject."""
    command = ["apps", "trust", "add", "archief", "--issuer", issuer, "--subject", subject]
    return [*command, "--audience", more.get("audience", AUDIENCE)]


@pytest.mark.parametrize(
    ("role", "setting"), [(ROLE, "AWS_ENDPOINT_URL"), (PLAIN_ROLE, "AWS_ENDPOINT_URL_STS")]
)
def test_boto3_needs_the_token_file_and_the_role_and_nothing_else(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, role: str, setting: str
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    pod = stage.environment(stage.issuer.token(), role)
    if setting == "AWS_ENDPOINT_URL_STS":
        pod["AWS_ENDPOINT_URL_STS"] = pod["AWS_ENDPOINT_URL_S3"] = pod.pop("AWS_ENDPOINT_URL")
    for name, value in pod.items():
        monkeypatch.setenv(name, value)
    client = boto3.session.Session().client("s3")
    client.put_object(Bucket=BUCKET, Key="zaak.txt", Body=b"inhoud", Metadata={"zaak": "Z-1"})
    answer = client.get_object(Bucket=BUCKET, Key="zaak.txt")
    assert answer["Body"].read() == b"inhoud"
    lines = stage.records(answer["ResponseMetadata"]["RequestId"])
    assert {line["actor"] for line in lines} == {"archief"}
    access_key = client._request_signer._credentials.access_key
    assert {line["session"] for line in lines} == {f"{access_key}:archief-7d4b9"}


def test_the_aws_cli_copies_and_lists_with_a_token(stage: Stage) -> None:
    pod = stage.environment(stage.issuer.token())
    source = stage.home / "brief.txt"
    source.write_bytes(os.urandom(300_000))
    aws = str(Path(sys.executable).with_name("aws"))
    for command in (
        ["s3", "cp", str(source), f"s3://{BUCKET}/brief.txt", "--metadata", "zaak=Z-2"],
        ["s3", "cp", f"s3://{BUCKET}/brief.txt", str(stage.home / "back.txt")],
    ):
        subprocess.run([aws, *command], env=pod, check=True, capture_output=True)
    assert (stage.home / "back.txt").read_bytes() == source.read_bytes()
    command = ["sts", "assume-role-with-web-identity", "--role-arn", ROLE, "--duration-seconds"]
    command += ["900", "--role-session-name", "cli", "--web-identity-token", stage.issuer.token()]
    done = subprocess.run([aws, *command], env=pod, check=True, capture_output=True)
    said = json.loads(done.stdout)
    assert said["SubjectFromWebIdentityToken"] == SUBJECT
    assert said["Audience"] == AUDIENCE
    assert said["Provider"] == stage.issuer.url


def test_another_gateway_takes_the_session_and_a_changed_token_is_taken_nowhere(
    stage: Stage,
) -> None:
    session = stage.assume(stage.issuer.token())
    for gateway in (stage.second, stage.first):
        stage.s3(session, gateway).list_buckets()
    held = session["Credentials"]
    for change in (
        {"SessionToken": held["SessionToken"][:-4] + "AAAA"},
        {"SessionToken": "A" + held["SessionToken"]},
        {"SessionToken": "no token"},
        {"AccessKeyId": stage.assume(stage.issuer.token())["Credentials"]["AccessKeyId"]},
    ):
        client = stage.s3({"Credentials": {**held, **change}})
        with pytest.raises(ClientError) as caught:
            client.list_buckets()
        assert caught.value.response["Error"]["Code"] == "InvalidToken", change
    with pytest.raises(ClientError) as caught:
        stage.s3({"Credentials": {**held, "SecretAccessKey": "x" * 40}}).list_buckets()
    assert caught.value.response["Error"]["Code"] == "SignatureDoesNotMatch"


def test_a_presigned_url_of_a_session_opens_until_its_token_is_touched(stage: Stage) -> None:
    client = stage.s3(stage.assume(stage.issuer.token()))
    client.put_object(Bucket=BUCKET, Key="url.txt", Body=b"abc", Metadata={"zaak": "Z-1"})
    url = client.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "url.txt"})
    assert "X-Amz-Security-Token=" in url
    context = ssl.create_default_context(cafile=str(stage.home / "ca.pem"))
    with urllib.request.urlopen(url, context=context) as answer:
        assert answer.read() == b"abc"
    at = url.index("X-Amz-Security-Token=") + 40
    changed = url[:at] + ("A" if url[at] != "A" else "B") + url[at + 1 :]
    with pytest.raises(urllib.request.HTTPError) as caught:
        urllib.request.urlopen(changed, context=context)
    assert b"InvalidToken" in caught.value.read()


def test_who_is_not_trusted_is_told_in_the_words_of_sts(stage: Stage) -> None:
    token = stage.issuer.token
    now = time.time()
    key = ec.generate_private_key(ec.SECP256R1())
    good = token()
    head, body, signature = good.split(".")
    for text, role, code in (
        (token(audience="https://other.example"), ROLE, "InvalidIdentityToken"),
        (token("system:serviceaccount:zaken:ander"), ROLE, "AccessDenied"),
        (token("system:serviceaccount:zaken:archief-2"), ROLE, "AccessDenied"),
        (token(iss="https://elsewhere.example"), ROLE, "InvalidIdentityToken"),
        (token(key=key), ROLE, "InvalidIdentityToken"),
        (token(kid="unknown"), ROLE, "InvalidIdentityToken"),
        (token(exp=now - 61), ROLE, "ExpiredTokenException"),
        (token(nbf=now + 120), ROLE, "InvalidIdentityToken"),
        (f"{head}.{body}.{signature[::-1]}", ROLE, "InvalidIdentityToken"),
        (f"{head}.{body}.", ROLE, "InvalidIdentityToken"),
        (good, "arn:hyok:iam::gemeente:role/zaaksysteem", "AccessDenied"),
        (good, "arn:hyok:iam::gemeente:role/nobody", "AccessDenied"),
        (good, "arn:hyok:iam::elders:role/archief", "AccessDenied"),
        (good, "arn:aws:iam::123456789012:role/archief", "ValidationError"),
    ):
        assert stage.refusal(text, role) == code, (text[:20], role)
    assert stage.refusal(good, DurationSeconds=7200) == "ValidationError"
    assert stage.assume(token(exp=now - 30))  # within the skew
    log = (stage.home / "audit" / "first.jsonl").read_text()
    denied = [json.loads(line) for line in log.splitlines() if '"sts:assume-role"' in line]
    denied = [line for line in denied if line["outcome"] == "denied"]
    assert len(denied) == 15
    assert {line["actor"] for line in denied} == {"anonymous"}
    told = {fact for line in denied for fact in line.get("reasons", [])}
    assert "subject:system:serviceaccount:zaken:ander" in told
    assert good not in log
    for file in (stage.home / "log").iterdir():
        assert good not in file.read_text()


def test_a_new_key_of_the_issuer_is_taken_and_unknown_ones_cause_few_fetches(stage: Stage) -> None:
    stage.assume(stage.issuer.token())
    old = stage.issuer.token()
    stage.issuer.rotate("ES256")
    time.sleep(1.1)  # the pause between two fetches
    stage.assume(stage.issuer.token())
    assert stage.refusal(old) == "InvalidIdentityToken"
    begun, fetches = time.monotonic(), stage.issuer.asked.count(KEYS)
    for number in range(60):
        assert stage.refusal(stage.issuer.token(kid=f"guess-{number}")) == "InvalidIdentityToken"
    elapsed = time.monotonic() - begun
    assert stage.issuer.asked.count(KEYS) - fetches <= elapsed + 1


def test_a_session_ends_with_its_trust_within_five_seconds_everywhere(stage: Stage) -> None:
    subject = "system:serviceaccount:tijdelijk:*"
    stage.hyok(*trusting(stage.issuer.url, subject))
    [row] = [
        row
        for row in stage.hyok("apps", "trust", "list", "archief", "--json")
        if row["subject"] == subject
    ]
    kept = stage.assume(stage.issuer.token())
    ended = stage.assume(stage.issuer.token("system:serviceaccount:tijdelijk:job-1"))
    clients = [stage.s3(ended, gateway) for gateway in (stage.first, stage.second)]
    for client in clients:
        client.list_buckets()
    stage.hyok("apps", "trust", "remove", row["trust"])
    time.sleep(5)
    for client in clients:
        with pytest.raises(ClientError) as caught:
            client.list_buckets()
        assert caught.value.response["Error"]["Code"] == "InvalidToken"
    stage.s3(kept).list_buckets()
    assert (
        stage.refusal(stage.issuer.token("system:serviceaccount:tijdelijk:job-1")) == "AccessDenied"
    )


def test_static_keys_rotate_with_an_overlap_that_ends(stage: Stage) -> None:
    made = stage.hyok("apps", "create", "rotatie", "--tenant", "gemeente", "--json")[0]
    new = stage.hyok("apps", "keys", "create", "rotatie", "--expires", "8s", "--json")[0]
    ends = time.monotonic() + 8

    def client(issued: dict[str, str]) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=stage.first.endpoint,
            aws_access_key_id=issued["access_key"],
            aws_secret_access_key=issued["secret"],
            region_name="us-east-1",
            verify=str(stage.home / "ca.pem"),
            config=Config(retries={"max_attempts": 0}),
        )

    client(made).list_buckets()
    client(new).list_buckets()
    time.sleep(max(0.0, ends - time.monotonic()))
    with pytest.raises(ClientError) as caught:
        client(made).list_buckets()
    assert caught.value.response["Error"]["Code"] == "InvalidAccessKeyId"
    client(new).list_buckets()
    rows = stage.hyok("apps", "keys", "list", "rotatie", "--json")
    assert [row["state"] for row in rows] == ["ended", "active"]


def test_a_revoked_app_has_no_sessions_any_more(stage: Stage) -> None:
    """Last in this file: the app does not come back."""
    session = stage.assume(stage.issuer.token())
    client = stage.s3(session, stage.second)
    client.list_buckets()
    stage.hyok("apps", "revoke", "archief")
    time.sleep(5)
    with pytest.raises(ClientError) as caught:
        client.list_buckets()
    assert caught.value.response["Error"]["Code"] == "InvalidToken"
    assert stage.refusal(stage.issuer.token()) == "AccessDenied"
