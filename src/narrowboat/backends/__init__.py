"""The services that keep jobs, each in a folder of its own, loaded by URL scheme only."""
