"""The engine on one machine, with no server."""
