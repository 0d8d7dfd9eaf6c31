"""Data sets: a function each from a folder to labelled images in memory."""
