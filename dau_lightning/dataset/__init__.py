"""Data sets, one in each file: a function that returns labelled images in memory."""
