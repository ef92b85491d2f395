"""Groups in which help lists options."""

SERVERS = "Servers"
SOURCE = "Source"
EXTENT = "Extent"
OUTPUT = "Output"
SLOW = "Slow requests"
HINDSIGHT = "Hindsight"
GUARDS = "Guards, which end a recording before it does harm"
