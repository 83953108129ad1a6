"""The YAML that people edit, read by libyaml in a tenth of the time of PyYAML's own parser.

Every process and every command reads the whole policy when it starts.
"""

from __future__ import annotations

import yaml

YAMLError = yaml.YAMLError


def parse_yaml(text: str) -> object:
    """Return what a document says, plain values alone; None for an empty one.

    Raises:
        YAMLError: it is no YAML, or holds a tag that is no plain value.
    """
    # CSafeLoader makes the same values of the same safe tags.
    return yaml.load(text, Loader=yaml.CSafeLoader)
