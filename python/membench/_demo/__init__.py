"""A private memcached and a small realistic workload, for `membench demo`."""
