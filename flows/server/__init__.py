"""Our Prefect server: its private folder and login, how it starts, its process, and the history that it keeps."""
