"""The settings file: explained whole, checked whole, and unable to start production unsafely."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from hyok import settings
from hyok.audit.config import ExportSettings
from hyok.backends.config import FileStoreSettings, S3StoreSettings
from hyok.doors.dke.config import DkeKeySettings, DkeSettings, DkeTenantSettings
from hyok.doors.ekm.config import EkmPoolSettings, EkmSettings
from hyok.doors.kubernetes.config import KubernetesSettings
from hyok.doors.payloads.config import BsnTokenSettings, PayloadSettings
from hyok.doors.transit.config import TransitSettings
from hyok.doors.xks.config import XksSettings, XksStoreSettings
from hyok.errors import Malformed
from hyok.hsm.config import TokenSettings
from hyok.identity.config import IssuerSettings
from hyok.officer.config import OfficerApiSettings, OidcSettings
from hyok.settings import Settings

EXAMPLE = Path(__file__).resolve().parents[2] / "deploy" / "hyok.example.toml"
MINIMAL = """
[hsm]
[[hsm.tokens]]
name = "a"
label = "keys"
pin_file = "/pin"
[[stores]]
kind = "files"
name = "local"
path = "/store"
"""


def names(model: type[BaseModel]) -> set[str]:
    return set(model.model_fields)


def test_the_example_file_is_accepted_as_it_stands() -> None:
    settings.parse(EXAMPLE.read_text(), "example")


def test_the_example_file_explains_every_setting_and_no_other() -> None:
    text = EXAMPLE.read_text().replace("# file =", "file =").replace("# software", "software")
    for name in (
        "client_secret_file",
        "ca_file",
        "tls_certificate",
        "tls_key",
        "client_ca",
        "client_names",
    ):
        text = text.replace(f"# {name} =", f"{name} =")
    written = tomllib.loads(text)
    assert set(written) == names(Settings)
    for section, field in Settings.model_fields.items():
        model = field.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            assert set(written[section]) == names(model), section
    assert set(written["officers"]["oidc"]) == names(OidcSettings)
    assert set(written["officers"]["api"]) == names(OfficerApiSettings)
    assert set(written["doors"]["xks"]) == names(XksSettings)
    assert set(written["doors"]["transit"]) == names(TransitSettings)
    assert set(written["doors"]["kubernetes"]) == names(KubernetesSettings)
    assert set(written["doors"]["payloads"]) == names(PayloadSettings)
    assert set(written["doors"]["payloads"]["bsn_tokens"][0]) == names(BsnTokenSettings)
    assert set(written["doors"]["xks"]["stores"][0]) == names(XksStoreSettings)
    assert set(written["doors"]["dke"]) == names(DkeSettings)
    assert set(written["doors"]["ekm"]) == names(EkmSettings)
    assert set(written["doors"]["ekm"]["pools"][0]) == names(EkmPoolSettings)
    tenants = [set(tenant) for tenant in written["doors"]["dke"]["tenants"]]
    assert set.union(*tenants) == names(DkeTenantSettings)
    assert set(written["doors"]["dke"]["keys"][0]) == names(DkeKeySettings)
    assert set(written["hsm"]["tokens"][0]) == names(TokenSettings)
    issuers = [set(issuer) for issuer in written["web_identity"]["issuers"]]
    assert set.union(*issuers) == names(IssuerSettings)  # a file and an address exclude each other
    exports = [set(export) for export in written["audit"]["exports"]]
    assert set.union(*exports) == names(ExportSettings)
    stores = {store["kind"]: set(store) for store in written["stores"]}
    assert stores == {"files": names(FileStoreSettings), "s3": names(S3StoreSettings)}


def test_defaults_of_the_example_are_those_of_the_models() -> None:
    written = tomllib.loads(EXAMPLE.read_text())
    sections = ("limits", "management", "log", "policies", "database", "audit", "web_identity")
    for section in sections:
        model = Settings.model_fields[section].annotation
        assert isinstance(model, type)
        for name, value in written[section].items():
            if name in {"issuers", "exports"}:
                continue
            default = model.model_fields[name].default
            assert value == (str(default) if isinstance(default, Path) else default), name


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("[gateway]\nprot = 1", "gateway.prot"),
        ("[gateway]\nport = 70000", "gateway.port"),
        ("[gateway]\nhost = '0.0.0.0'", "tls_certificate"),
        ("[gateway]\ntls_key = '/k'", "go together"),
        ("[gateway]\ndefault_store = 'other'", "default_store"),
        ("[audit]\nsequencer = 'database'", "needs PostgreSQL in database.url"),
        ("[audit]\nsequencer = 'postgresql'", "audit.sequencer"),
    ],
)
def test_a_wrong_setting_is_named(change: str, said: str) -> None:
    with pytest.raises(Malformed) as caught:
        settings.parse(change + MINIMAL, "test")
    assert said in str(caught.value)


def test_two_tokens_cannot_share_a_name() -> None:
    twice = MINIMAL.replace(
        "[[stores]]", '[[hsm.tokens]]\nname="a"\nlabel="b"\npin_file="/p"\n[[stores]]'
    )
    with pytest.raises(Malformed, match="two tokens have one name"):
        settings.parse(twice, "test")


def test_every_folder_refuses_settings_that_it_does_not_know_and_none_can_be_changed() -> None:
    parsed = settings.parse(EXAMPLE.read_text(), "example")
    tables = [*parsed.__dict__.values(), *parsed.stores, *parsed.hsm.tokens, parsed]
    models = [type(table) for table in tables if isinstance(table, BaseModel)]
    models += [type(export) for export in parsed.audit.exports]
    models += [type(issuer) for issuer in parsed.web_identity.issuers]
    assert len(models) > 12  # the walk found the tables, so that it says something
    for model in models:
        assert model.model_config.get("extra") == "forbid", model
        assert model.model_config.get("frozen") is True, model


@pytest.mark.parametrize(
    "keys",
    [
        "[hsm]\nkind = 'software'\nsoftware_file = '/x'\n",
        "[[hsm.tokens]]\nname='a'\nlabel='hyok-dev'\npin_file='/pin'\n",
    ],
)
def test_development_keys_are_refused_in_production_and_only_there(keys: str) -> None:
    store = "[[stores]]\nkind='files'\nname='local'\npath='/s'\n"
    with pytest.raises(Malformed, match="development"):
        settings.parse(keys + store, "test")
    settings.parse("[installation]\nmode='development'\n" + keys + store, "test")


@pytest.mark.parametrize(
    ("endpoint", "held"),
    [
        ("https://s3.example.eu", True),
        ("http://127.0.0.1:8333", True),
        ("http://[::1]:8333", True),
        ("http://s3.example.eu", False),
        ("http://localhost.example.eu", False),
        ("https://user@s3.example.eu", False),
        ("https://s3.example.eu/path", False),
        ("ftp://s3.example.eu", False),
    ],
)
def test_a_store_is_reached_over_tls_or_on_loopback(endpoint: str, held: bool) -> None:
    store = {"kind": "s3", "name": "s", "jurisdiction": "NL", "control": "NL"}
    if held:
        S3StoreSettings.model_validate(store | {"endpoint": endpoint})
    else:
        with pytest.raises(ValueError, match="endpoint"):
            S3StoreSettings.model_validate(store | {"endpoint": endpoint})


@pytest.mark.parametrize("door", ["xks", "dke", "transit", "payloads"])
@pytest.mark.parametrize(("host", "held"), [("127.0.0.1", True), ("0.0.0.0", False)])
def test_every_door_is_reached_over_tls_or_on_loopback(door: str, host: str, held: bool) -> None:
    before, table, after = EXAMPLE.read_text().partition(f"[doors.{door}]\n")
    lines = [
        {"enabled": "enabled = true", "host": f'host = "{host}"'}.get(line.partition(" ")[0], line)
        for line in after.partition("\n[")[0].splitlines()
        if not line.startswith(("tls_", "client_"))
    ]
    text = before + table + "\n".join(lines) + "\n[" + after.partition("\n[")[2]
    if held:
        assert settings.parse(text, "example").doors.each[door].enabled
    else:
        with pytest.raises(Malformed, match=f"doors.{door}.tls_certificate is missing"):
            settings.parse(text, "example")
