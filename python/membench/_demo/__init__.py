"""A private memcached and a small realistic workload → a recording, its analysis, its replay."""
