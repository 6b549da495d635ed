"""What crosses a process boundary, as frozen models; nothing here reads or writes."""
