"""The parts of the shim by themselves; with processes they are tested in tests/sessions."""
