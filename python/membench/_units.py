"""Units of short times, as options and checks spell them."""

# Micro has two code points, one of which is the Greek letter.
NANOSECONDS = {"ns": 1.0, "us": 1e3, "\u00b5s": 1e3, "\u03bcs": 1e3, "ms": 1e6, "s": 1e9}
