"""Files of other tools: what a dataset can be imported from and exported to."""
