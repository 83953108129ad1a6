"""Writes docs/s3-compatibility.md from the operation table; run it after changing the table."""  # noqa: INP001 - a script

from pathlib import Path

from hyok.s3.table import render

if __name__ == "__main__":
    Path(__file__).with_name("s3-compatibility.md").write_text(render(), encoding="utf-8")
