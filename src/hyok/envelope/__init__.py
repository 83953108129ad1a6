"""The sealed object: lengths, keys, parts, trailer and envelope as bytes.  Pure.

Nothing here does I/O, reads a clock or draws randomness: salts and nonces are arguments, and they
must come fresh from the operating system's generator at every use.

Source: docs/format.md.
"""
