"""What Narrowboat ships for tests: the conformance suite of the backend port."""
