"""From results to tables and figures; `python -m dau_lightning.report FOLDER...` prints those of many runs over seeds."""

from dau_lightning.report.run import print_run

__all__ = ["print_run"]
