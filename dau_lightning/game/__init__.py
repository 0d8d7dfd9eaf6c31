"""The parts of the game between defender and attacker."""
