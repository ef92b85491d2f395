"""This machine → the sources that work here, found by trying, and what would enable the others."""
