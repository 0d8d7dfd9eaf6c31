"""What to forget: functions from images to a mask."""
