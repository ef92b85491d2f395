"""Shared parts of the tests: a real memcached, clients with a log, comparison with a profile."""
