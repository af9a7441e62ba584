"""Checks from outside that nothing is lost, whatever dies: ``rtb chaos``.

Uses what anybody could use: the roles as processes, the API, a client of each server. It never
looks into a role.
"""
