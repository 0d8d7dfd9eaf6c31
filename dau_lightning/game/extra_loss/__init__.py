"""What the defender may do beside the game (section 3.3), one a file: objects of `objective.Term`."""
