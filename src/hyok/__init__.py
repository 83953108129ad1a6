"""hyok: a hold-your-own-key gateway between applications and object stores."""

__version__ = "0.1.0"

__version__ = "0.1.0"
