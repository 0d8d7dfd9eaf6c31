"""What is measured: a file a section, each with `measure(device) -> Table`."""
