"""The MCP servers: the orchestrator's ten tools, and the two of a session's own worker.

Nothing is imported here: the ``mcp`` package takes its time, and only whoever serves pays for it.
"""
