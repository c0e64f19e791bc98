"""Policy documents: parsed, versioned, planned and applied; see docs/policies.md."""
