"""Models that factorise the interactions alone."""
