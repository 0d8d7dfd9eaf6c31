"""How a network is made sparse: which weights stay zero from the original on."""
