"""What an operator is told: artifacts on Prefect's page, events for its automations, and errors in its logs."""
