"""Agents in containers of a YARN cluster, through its Services REST API."""
