"""Measurements beside the peers, in one run on one machine: `make bench-peers`.

`systems` says what is compared and at which settings, `apps` holds the same jobs written for each, `jobs` what they all
do. A `session` is one system in one round, on an empty server; `run` takes them in turn.
"""
