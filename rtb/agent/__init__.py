"""The agent: slots, and the workloads that run in them."""
