"""What the tests share: a real memcached, a client that logs what it did, and the comparison with a profile."""
