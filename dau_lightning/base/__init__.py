"""What all other folders use: errors, the terminal, random numbers, processes and devices."""
