"""What the person in front of the command line can mend: printed as one line, without a traceback."""


class InputError(ValueError):
    """A setting, file or folder that cannot be used. The message names it, what is allowed and what was given."""


class TrainingError(RuntimeError):
    """A training that cannot go on, such as a loss that is not finite. The message names phase and step."""
