"""Finds a class that a setting names, by index or by name."""

from dau_lightning.base.error import InputError
from dau_lightning.base.nearest import did_you_mean

Class = int | str


def class_index(class_names: tuple[str, ...], target: Class | None, setting: str) -> int:
    """The index of a class: by its name, or by a number that is not the name of another class.

    Args:
        class_names: in the order of the labels.
        target: index or name; None, which names no class, is an error.
        setting: full name of the setting, for errors.

    Raises:
        InputError: there is no such class, or the number could be two.

    >>> class_index(("cat", "dog"), "dog", "scheme.target")
    1
    """
    named = [name for name in class_names if isinstance(target, int) and name.isdecimal() and int(name) == target]
    at = class_names[target] if isinstance(target, int) and 0 <= target < len(class_names) else None
    if at is not None and named and named != [at]:
        raise InputError(
            f"{setting}={target} can be class {named[0]!r}, or index {target}, which is class {at!r}: write a name within "
            f"two pairs of quotes, \"{setting}='{named[0]}'\" or \"{setting}='{at}'\""
        )
    if str(target) in class_names:
        return class_names.index(str(target))
    if isinstance(target, int) and 0 <= target < len(class_names):
        return target
    some = ", ".join(class_names[:10]) + (", ..." if len(class_names) > 10 else "")
    raise InputError(
        f"{setting} must be a class index in [0, {len(class_names) - 1}] or one of {some}; got {target!r}"
        + did_you_mean(target, class_names)
    )
