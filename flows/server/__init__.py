"""Our Prefect server: its private folder and login, its process, its history, and the runs killed with it."""
