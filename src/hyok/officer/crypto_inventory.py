"""The cryptographic inventory: algorithms, protocols and keys in use, as a CycloneDX CBOM.  Pure.

Source: CycloneDX 1.6 (ECMA-424), "Cryptography Bill of Materials".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.custody.door_key import BSN, MAC, PAIRS, PRIVATE, RSA_SIGNER, SIGNER, WRAPPER
from hyok.custody.key_states import KeyState
from hyok.envelope.profiles import Profile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hyok.custody.door_key import DoorKey, DoorVersion
    from hyok.custody.kek import Kek

SPEC = "1.6"

_STATES = {
    KeyState.PRE_ACTIVE: "pre-activation",
    KeyState.ACTIVE: "active",
    KeyState.SUSPENDED: "suspended",
    KeyState.DEACTIVATED: "deactivated",
    KeyState.COMPROMISED: "compromised",
    KeyState.DESTROYED: "destroyed",
}

_PROFILES = {
    Profile.HMAC_SHA256: ("alg:hmac-sha256", 256),
    Profile.AES_GCM: ("alg:aes-256-gcm", 256),
    Profile.AES_KWP: ("alg:aes-256-kwp", 256),
    Profile.RSA_OAEP_SHA256: ("alg:rsa-3072-oaep-sha256", 3072),
}


def _algorithm(
    ref: str,
    name: str,
    primitive: str,
    functions: Sequence[str],
    *,
    level: int,
    quantum: int,
    use: str,
) -> dict[str, object]:
    return {
        "type": "cryptographic-asset",
        "bom-ref": ref,
        "name": name,
        "description": use,
        "cryptoProperties": {
            "assetType": "algorithm",
            "algorithmProperties": {
                "primitive": primitive,
                "cryptoFunctions": list(functions),
                "classicalSecurityLevel": level,
                "nistQuantumSecurityLevel": quantum,
            },
        },
    }


ALGORITHMS: Sequence[dict[str, object]] = (
    _algorithm(
        *("alg:aes-256-gcm", "AES-256-GCM", "ae", ("encrypt", "decrypt")),
        level=256,
        quantum=5,
        use="content of objects, in segments; KEK profile 2; keys of doors",
    ),
    _algorithm(
        *("alg:aes-256-kw", "AES-256-KW (RFC 3394)", "ae", ("encrypt", "decrypt")),
        level=256,
        quantum=5,
        use="data keys and intermediate keys, wrapped",
    ),
    _algorithm(
        *("alg:aes-256-kwp", "AES-256-KWP (RFC 5649)", "ae", ("encrypt", "decrypt")),
        level=256,
        quantum=5,
        use="KEK profile 3",
    ),
    _algorithm(
        *("alg:aes-256-siv", "AES-SIV (RFC 5297)", "ae", ("encrypt", "decrypt")),
        level=256,
        quantum=5,
        use="names of objects, where they are sealed",
    ),
    _algorithm(
        *("alg:hmac-sha256", "HMAC-SHA-256", "mac", ("tag", "keyderive")),
        level=256,
        quantum=5,
        use="KEK profile 1; envelopes, records and requests",
    ),
    _algorithm(
        *("alg:hkdf-sha256", "HKDF-SHA-256 (RFC 5869)", "kdf", ("keyderive",)),
        level=256,
        quantum=5,
        use="keys from keys",
    ),
    _algorithm(
        *("alg:sha-256", "SHA-256", "hash", ("digest",)),
        level=128,
        quantum=2,
        use="payloads, the audit log's tree, bundles",
    ),
    _algorithm(
        *("alg:ecdsa-p256-sha256", "ECDSA P-256 with SHA-256", "signature", ("sign", "verify")),
        level=128,
        quantum=0,
        use="checkpoints of the audit log, in the HSM",
    ),
    _algorithm(
        *("alg:ed25519", "Ed25519 (RFC 8032)", "signature", ("sign", "verify")),
        level=128,
        quantum=0,
        use="decisions of officers",
    ),
    _algorithm(
        *("alg:rsa-3072-oaep-sha256", "RSA-OAEP-SHA-256", "pke", ("encapsulate", "decapsulate")),
        level=128,
        quantum=0,
        use="KEK profile 4, where it is switched on; pairs of doors",
    ),
    *(
        _algorithm(
            *(f"alg:rsa-{bits}-oaep-sha256", "RSA-OAEP-SHA-256", "pke"),
            ("encapsulate", "decapsulate"),
            level=level,
            quantum=0,
            use="pairs of doors",
        )
        for bits, level in ((2048, 112), (4096, 152))
    ),
    *(
        _algorithm(
            *(f"alg:rsa-{bits}-pkcs1-sha256", "RSASSA-PKCS1-v1_5-SHA-256", "signature"),
            ("sign", "verify"),
            level=level,
            quantum=0,
            use="tokens of doors",
        )
        for bits, level in ((2048, 112), (3072, 128), (4096, 152))
    ),
)


def inventory(
    *,
    installation: str,
    version: str,
    serial: str,
    made: str,
    keks: Sequence[Kek],
    records: Mapping[str, int],
    signing: Mapping[str, str],
    ciphers: Sequence[str],
    token: str,
    doors: Sequence[DoorKey] = (),
) -> dict[str, object]:
    """Return the CBOM of an installation.

    Args:
        installation: its name.
        version: of hyok.
        serial: a UUID, new for each inventory.
        made: now, ISO 8601 in UTC.
        keks: every key version that is known, destroyed ones as well.
        records: keyring records that each keeps, by kek_id.
        signing: public keys of the audit log, PEM by name.
        ciphers: cipher suites of TLS as this process offers them.
        token: what holds the KEKs, in words.
        doors: the keys of doors, destroyed ones as well.
    """
    used = {
        "alg:aes-256-gcm",
        *("alg:aes-256-kw", "alg:aes-256-siv", "alg:hmac-sha256", "alg:hkdf-sha256"),
        *("alg:sha-256", "alg:ed25519", "alg:ecdsa-p256-sha256"),
        *(_PROFILES[Profile(kek.spec.profile)][0] for kek in keks),
        *(_door_algorithm(key)[1] for key in doors),
    }
    components = [one for one in ALGORITHMS if one["bom-ref"] in used]
    components += [_key(kek, records.get(kek.kek_id, 0), token) for kek in keks]
    components += [_door_key(key, one, token) for key in doors for one in key.versions]
    components += [_signing_key(name, pem) for name, pem in signing.items()]
    components.append(_tls(ciphers))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": SPEC,
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {
            "timestamp": made,
            "component": {
                "type": "application",
                "bom-ref": "hyok",
                "name": "hyok",
                "version": version,
                "description": f"installation {installation}",
            },
        },
        "components": components,
        "dependencies": [
            {"ref": "hyok", "dependsOn": sorted(str(one["bom-ref"]) for one in components)}
        ],
    }


def _key(kek: Kek, records: int, token: str) -> dict[str, object]:
    algorithm, size = _PROFILES[Profile(kek.spec.profile)]
    kind = "private-key" if kek.spec.profile == Profile.RSA_OAEP_SHA256 else "secret-key"
    return {
        "type": "cryptographic-asset",
        "bom-ref": f"key:{kek.kek_id}",
        "name": kek.kek_id,
        "description": f"KEK of {kek.tenant} for {kek.classification}, version {kek.version}",
        "cryptoProperties": {
            "assetType": "related-crypto-material",
            "relatedCryptoMaterialProperties": {
                "type": kind,
                "id": kek.spec.check_value.hex(),
                "state": _STATES[kek.state],
                "algorithmRef": algorithm,
                "size": size,
                "securedBy": {"mechanism": token},
            },
        },
        "properties": [
            {"name": "hyok:profile", "value": str(kek.spec.profile)},
            {"name": "hyok:created-ms", "value": str(kek.created_ms)},
            {"name": "hyok:keyring-records", "value": str(records)},
        ],
    }


def _door_algorithm(key: DoorKey) -> tuple[str, str, int]:
    if key.kind in PAIRS:
        what = "pkcs1" if key.sort is RSA_SIGNER else "oaep"
        return "private-key", f"alg:{key.kind}-{what}-sha256", PAIRS[key.kind]
    if key.sort is SIGNER:
        return "private-key", "alg:ecdsa-p256-sha256", 256
    if key.sort in {WRAPPER, PRIVATE}:
        return "secret-key", "alg:aes-256-kwp", 256
    return "secret-key", "alg:hmac-sha256" if key.sort in {MAC, BSN} else "alg:aes-256-gcm", 256


def _door_key(key: DoorKey, version: DoorVersion, token: str) -> dict[str, object]:
    secrecy, algorithm, size = _door_algorithm(key)
    # A key that is suspended or ended as a whole is so in each of its versions.
    state = version.state if key.state is KeyState.ACTIVE else key.state
    if version.state is KeyState.DESTROYED:
        state = KeyState.DESTROYED
    return {
        "type": "cryptographic-asset",
        "bom-ref": f"key:{version.spec.kek_id}",
        "name": version.spec.kek_id,
        "description": f"a door's key of {key.tenant} for {key.classification}, "
        f"version {version.number}",
        "cryptoProperties": {
            "assetType": "related-crypto-material",
            "relatedCryptoMaterialProperties": {
                "type": secrecy,
                "id": version.key_id if key.kind in PAIRS else version.spec.check_value.hex(),
                "state": _STATES[state],
                "algorithmRef": algorithm,
                "size": size,
                "securedBy": {"mechanism": token},
            },
        },
        "properties": [
            {"name": "hyok:apps", "value": ",".join(sorted(key.apps))},
            {"name": "hyok:usage", "value": ",".join(sorted(map(str, key.usage)))},
            {"name": "hyok:created-ms", "value": str(key.created_ms)},
            {"name": "hyok:encryptions-at-most", "value": str(version.uses)},
        ],
    }


def _signing_key(name: str, pem: str) -> dict[str, object]:
    return {
        "type": "cryptographic-asset",
        "bom-ref": f"key:{name}",
        "name": name,
        "description": "signs checkpoints of the audit log, and nothing else",
        "cryptoProperties": {
            "assetType": "related-crypto-material",
            "relatedCryptoMaterialProperties": {
                "type": "public-key",
                "state": "active",
                "algorithmRef": "alg:ecdsa-p256-sha256",
                "value": pem,
                "size": 256,
            },
        },
    }


def _tls(ciphers: Sequence[str]) -> dict[str, object]:
    return {
        "type": "cryptographic-asset",
        "bom-ref": "protocol:tls",
        "name": "TLS",
        "description": "doors, stores and database",
        "cryptoProperties": {
            "assetType": "protocol",
            "protocolProperties": {
                "type": "tls",
                "version": "1.2 and 1.3",
                "cipherSuites": [{"name": name} for name in ciphers],
            },
        },
    }
