"""Conditions of a write, for those above the stores (only `objects` may import `backends`)."""

from hyok.backends.port import ALWAYS, Condition

__all__ = ["ALWAYS", "Condition"]
