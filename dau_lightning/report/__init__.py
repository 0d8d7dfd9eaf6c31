"""From results to tables and figures; `python -m dau_lightning.report FOLDER...` prints those of many runs over seeds."""
