"""Fills the files in `template/`."""

from typing import Any


def render(template: str, **values: Any) -> str:
    """Fill a file in `template/` with values, and return its text; in an HTML file, values are escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=PackageLoader("dau_lightning.report", "template"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(values)
