"""What tests share: a real memcached, a client with a log, its comparison with a profile."""
