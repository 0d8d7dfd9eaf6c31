"""What everything else stands on: errors, the terminal, random numbers, processes and devices."""
