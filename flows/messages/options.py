"""Turns the options of a command, in a message of a library, into the parameters of a flow."""

import re

_PARAMETERS = {r"--release ([0-9a-f]+)": r"""-p 'release="\1"'""", r"--max-loss\b": "-p max_loss"}
"""Patterns and what replaces them. In quotes, because Prefect reads a digest of digits alone as a number."""


def in_parameters(message: str) -> str:
    """Return a message that names parameters where it named options: `--max-loss` becomes `-p max_loss`."""
    for option, parameter in _PARAMETERS.items():
        message = re.sub(option, parameter, message)
    return message
