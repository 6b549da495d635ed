"""Sessions: processes of their own that outlive whoever started them."""

from harness_nb.sessions.channel import ask_shim, watch_shim
from harness_nb.sessions.drivers import DRIVERS, Assignment, Driver, driver_named
from harness_nb.sessions.ending import catch_up, conclude, result_of, settle
from harness_nb.sessions.launch import Launch, launch
from harness_nb.sessions.output import Output, read_output
from harness_nb.sessions.proof import is_alive, proof_of
from harness_nb.sessions.quiet import Quiet

__all__ = [
    "DRIVERS",
    "Assignment",
    "Driver",
    "Launch",
    "Output",
    "Quiet",
    "ask_shim",
    "catch_up",
    "conclude",
    "driver_named",
    "is_alive",
    "launch",
    "proof_of",
    "read_output",
    "result_of",
    "settle",
    "watch_shim",
]
