"""The methods with which DAU is compared, one in each file."""

TRAINED_BY_RECIPE = "retrain", "retrain_again", "original"  # the references: nothing is unlearned; in the order of tables
