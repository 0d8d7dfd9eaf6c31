"""Quotes in command lines: those that Hydra's grammar wants and that no shell needs, so that people do not type them.

Nor does a shell replace the `~/` at the beginning of a value, which people expect of it.
"""

import os
import re
import shlex
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException


def quoted(argument: str, sweep: bool = False) -> str:
    """A command-line argument, with quotes around its value if Hydra cannot read it without them.

    Apart from `~/`, which becomes the home folder, what Hydra can read is never changed. In a list, and in a
    sweep, only the parts that need quotes get them.

    Args:
        argument: as the shell passes it on.
        sweep: whether commas outside of a list separate the values of a sweep.

    >>> quoted("scheme.where=user_id == 17")
    'scheme.where="user_id == 17"'
    >>> quoted("scheme.target=[3,größe]"), quoted("seed=0,1")
    ('scheme.target=[3,"größe"]', 'seed=0,1')
    """
    argument = re.sub(r"(^[^=]+=[\"']?)~(?=/)", lambda found: found[1] + os.path.expanduser("~"), argument)
    name, sign, value = argument.partition("=")
    if not sign or not re.fullmatch(r"[+~]*[\w./@-]+", name) or name.startswith("-") or _readable(argument):
        return argument
    return f"{name}={_quoted(value, sweep)}"


def _quoted(value: str, several: bool) -> str:
    if _readable(f"key={value}"):
        return value
    if value.startswith("[") and value.endswith("]") and "[" not in value[1:]:
        return f"[{_quoted(value[1:-1], several=True)}]"
    if several and "," in value:
        return ",".join(_quoted(part.strip(), several=False) for part in value.split(","))
    escaped = re.sub(r'(\\*)("|$)', lambda found: 2 * found[1] + found[2].replace('"', r"\""), value)
    return f'"{escaped}"'


def _readable(argument: str) -> bool:
    try:
        OverridesParser.create().parse_override(argument)
    except HydraException:
        return False
    return True


def typed_command(overrides: Sequence[str], sweep: bool) -> str:
    """The command that would run one job, as a user would type it.

    >>> typed_command(["seed=1", "dataset.root=my images"], sweep=False)
    "python train.py seed=1 'dataset.root=my images'"
    """
    return " ".join(["python train.py", *(["-m"] if sweep else []), *map(shlex.quote, overrides)])
