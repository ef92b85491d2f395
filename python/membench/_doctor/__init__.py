"""What works on this machine, found out by trying, and what would change that."""
