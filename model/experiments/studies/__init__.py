"""Studies: several models, each with settings of its own or a search for them, judged together."""
