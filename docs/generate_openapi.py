"""Writes docs/openapi.json: what the officers' door says of itself."""  # noqa: INP001 - a script

from __future__ import annotations

import json
from pathlib import Path

from hyok.officer.api.app import build_app

if __name__ == "__main__":
    document = build_app(None).openapi()
    text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False)
    Path(__file__).with_name("openapi.json").write_text(text + "\n")
