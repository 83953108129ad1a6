"""Settings of the key service for Google's client-side encryption: `[doors.kacls]`."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, field_validator, model_validator

from hyok.doors.kacls.claims import Application
from hyok.doors.kacls.rules import Own, Perimeter, address, folded
from hyok.doors.listener import ListenerSettings

MIGRATION_AUDIENCE = "kacls-migration"
_KEYS_OF_GOOGLE = "https://www.googleapis.com/service_accounts/v1/jwk/"
_SERVICE_ACCOUNTS = "system.gserviceaccount.com"
_NAME = r"^[A-Za-z0-9-]{1,64}$"


class _KeySource(BaseModel, extra="forbid", frozen=True):
    """Where a signer's public keys are: at an address, or in a file."""

    jwks_uri: str = ""
    jwks_file: Path | None = None
    ca_file: Path | None = None

    @field_validator("jwks_uri")
    @classmethod
    def _is_private(cls, value: str) -> str:
        return value if not value else https(value, "jwks_uri")

    @model_validator(mode="after")
    def _has_one_source(self) -> _KeySource:
        if self.jwks_file is not None and (self.jwks_uri or self.ca_file):
            raise ValueError("jwks_file: keys come from the file or from the network")
        return self


class AuthorizationSettings(_KeySource, frozen=True):
    """`[[doors.kacls.authorizations]]`: who signs what an application of Google's lets users do."""

    application: Application
    issuer: str = Field(min_length=1, max_length=255)

    @property
    def keys_address(self) -> str:
        """Where its keys are published."""
        return self.jwks_uri or _KEYS_OF_GOOGLE + self.issuer


class ProviderSettings(_KeySource, frozen=True):
    """`[[doors.kacls.providers]]`: an identity provider that knows the users."""

    issuer: str = Field(max_length=255)
    audiences: tuple[str, ...] = Field(min_length=1)
    guests: bool = False

    @field_validator("issuer")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        return https(value, "issuer")


class PerimeterSettings(BaseModel, extra="forbid", frozen=True):
    """`[[doors.kacls.perimeters]]`: from where, and by whom, its data is opened."""

    id: str = Field(max_length=128)
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    claims: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    @property
    def rule(self) -> Perimeter:
        claims = {name: frozenset(values) for name, values in self.claims.items()}
        return Perimeter(self.networks, claims)


class ServiceSettings(BaseModel, extra="forbid", frozen=True):
    """`[[doors.kacls.services]]`: another key service, to or from which data moves.

    ``private_address``: it may be at an address that no other network reaches.
    """

    url: str
    ca_file: Path | None = None
    rewrap_from: bool = False
    may_unwrap: bool = False
    private_address: bool = False

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        return https(value, "url")


def _google() -> tuple[AuthorizationSettings, ...]:
    names = {one: f"gsuitecse-tokenissuer-{one}" for one in Application}
    names[Application.MIGRATION] = "apps-security-cse-kaclscommunication"
    return tuple(
        AuthorizationSettings(application=one, issuer=f"{name}@{_SERVICE_ACCOUNTS}")
        for one, name in names.items()
    )


class KaclsSettings(ListenerSettings, frozen=True):
    """`[doors.kacls]`: the key service that browsers and Google's services call."""

    port: int = Field(default=8448, ge=0, le=65535)
    public_url: str = ""
    name: str = Field(default="", max_length=80)
    app: str = ""
    key: str = Field(default="", pattern=f"{_NAME}|^$")
    signing_key: str = Field(default="", pattern=f"{_NAME}|^$")
    private_key: str = Field(default="", pattern=f"{_NAME}|^$")
    owner_domain: str = Field(default="", max_length=255)
    administrators: tuple[str, ...] = ()
    authorization_audience: str = Field(default="cse-authorization", min_length=1, max_length=255)
    delegated_audience: str = Field(default="cse-authentication", min_length=1, max_length=255)
    clock_skew_seconds: int = Field(default=60, ge=0, le=60)
    keys_refresh_seconds: int = Field(default=3_600, ge=60, le=86_400)
    keys_age_seconds_max: int = Field(default=86_400, ge=60, le=604_800)
    requests_per_second_max: int = Field(default=200, ge=1, le=100_000)
    requests_per_user_max: int = Field(default=50, ge=1, le=100_000)
    perimeter_moves: Literal["refuse", "judge"] = "refuse"
    authorizations: tuple[AuthorizationSettings, ...] = Field(default_factory=_google)
    providers: tuple[ProviderSettings, ...] = ()
    perimeters: tuple[PerimeterSettings, ...] = ()
    services: tuple[ServiceSettings, ...] = ()

    @field_validator("public_url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        return value if not value else https(value, "public_url")

    @field_validator("administrators")
    @classmethod
    def _are_addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            name, _, domain = one.rpartition("@")
            if not name or not domain or one != one.strip():
                raise ValueError(f"administrators: {one!r} is no mail address")
        return tuple(map(folded, value))

    @model_validator(mode="after")
    def _holds_together(self) -> KaclsSettings:
        if self.keys_age_seconds_max < self.keys_refresh_seconds:
            raise ValueError("keys_age_seconds_max is below keys_refresh_seconds")
        signers = [one.issuer for one in self.authorizations]
        signers += [one.issuer for one in self.providers]
        for named in (
            signers,
            [one.id for one in self.perimeters],
            [address(one.url) for one in self.services],
        ):
            if len(set(named)) != len(named):
                raise ValueError("authorizations, providers, perimeters, services: one name twice")
        if self.delegated_audience == MIGRATION_AUDIENCE:
            raise ValueError("delegated_audience: that is the audience of other key services")
        if {*map(address, signers)} & {address(one.url) for one in self.services}:
            raise ValueError("services: an issuer of other tokens is no key service")
        own = address(self.public_url)
        if own in map(address, signers) or own in (address(one.url) for one in self.services):
            raise ValueError("public_url: nobody else has our address")
        if self.enabled and not all((self.public_url, self.app, self.key, self.providers)):
            raise ValueError("public_url, app, key and providers are wanted")
        if self.enabled and not self.signing_key and any(o.rewrap_from for o in self.services):
            raise ValueError("services: to rewrap takes a signing_key")
        return self

    @property
    def base_path(self) -> str:
        """What stands before a method's name in a path."""
        return urlsplit(self.public_url).path

    @property
    def own(self) -> Own:
        """What this service is, for the rules."""
        perimeters = {one.id: one.rule for one in self.perimeters}
        return Own(
            self.public_url,
            owner_domain=self.owner_domain,
            perimeters=perimeters or None,
            moves=self.perimeter_moves == "judge",
            administrators=frozenset(self.administrators),
        )

    def service(self, url: str) -> ServiceSettings | None:
        """Return the settings of another service; None: it is not on the list."""
        return next((one for one in self.services if address(one.url) == address(url)), None)


def https(value: str, name: str) -> str:
    """Return an address if it is whole, over https, and names nobody.

    Raises:
        ValueError: it is not.
    """
    parts = urlsplit(value)
    whole = parts.scheme == "https" and parts.hostname and not parts.username
    plain = value.isascii() and value.isprintable() and " " not in value
    if not whole or not plain or parts.query or parts.fragment or parts.password:
        raise ValueError(f"{name}: https and a host name, without a query")
    return value
