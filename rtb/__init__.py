"""Red-Tailed Boa Broadcast: keeps the books of work, shares agents fairly, shows each unit."""
