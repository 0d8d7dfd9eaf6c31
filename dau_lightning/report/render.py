"""Fills the files in `template/`."""

from typing import Any


def render(template: str, **values: Any) -> str:
    """The text of a template; what an HTML template shows is escaped."""
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
