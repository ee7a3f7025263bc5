"""What `python -m flows.serve` serves: the deployments, an operator's settings, and what is registered on a server."""
