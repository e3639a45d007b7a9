"""What Shoal costs, measured beside what it is compared with."""
