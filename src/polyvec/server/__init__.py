"""Dialects and a service → an ASGI application and the process that runs it."""
