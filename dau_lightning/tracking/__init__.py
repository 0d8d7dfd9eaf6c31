"""Where metrics go: a CSV file and Weights & Biases."""
