"""Sessions: processes of their own that outlive whoever started them."""

from harness_nb.sessions.channel import ask_shim, watch_shim
from harness_nb.sessions.drivers import DRIVERS, Assignment, Driver, driver_named
from harness_nb.sessions.ending import conclude, is_alive, result_of
from harness_nb.sessions.launch import Launch, launch
from harness_nb.sessions.output import Output, read_output

__all__ = [
    "DRIVERS",
    "Assignment",
    "Driver",
    "Launch",
    "Output",
    "ask_shim",
    "conclude",
    "driver_named",
    "is_alive",
    "launch",
    "read_output",
    "result_of",
    "watch_shim",
]
