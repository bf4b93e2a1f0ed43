"""A folder or hub id → what is needed to serve it."""
