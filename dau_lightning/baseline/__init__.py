"""The methods with which DAU is compared, one in each file."""
