"""Operating rtb: what tells how a role is."""
