"""Three stages of engines with real agents, and what becomes of connections when engines fail."""
