"""The folder of the yaml files: inside the installed package, or beside the package in a clone."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
CONFIG_FOLDER = next(folder for folder in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if folder.is_dir())
