"""The parameters of the flows: their config classes, the form that Prefect shows, and what runs may use."""
