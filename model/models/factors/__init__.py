"""Models that factorise the interactions only."""
