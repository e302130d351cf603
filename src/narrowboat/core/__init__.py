"""Values and decisions: standard library and msgspec only, no I/O, no clock reads."""
