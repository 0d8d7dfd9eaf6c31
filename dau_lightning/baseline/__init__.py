"""The methods that DAU is compared with, one a file."""
