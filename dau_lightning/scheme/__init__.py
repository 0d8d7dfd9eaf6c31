"""Schemes, which say what to forget: functions from images to a mask."""
