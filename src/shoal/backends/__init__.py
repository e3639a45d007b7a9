"""Database backends that Shoal brings along: `shoal.backends.sharded`."""
