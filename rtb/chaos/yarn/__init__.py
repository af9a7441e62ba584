"""``rtb chaos yarn``: kills on a real private cluster, checked from outside as every other run."""
