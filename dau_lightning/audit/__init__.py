"""Audits finished runs with attacks of today: `python -m dau_lightning.audit RUN... references=N minutes=M`."""
