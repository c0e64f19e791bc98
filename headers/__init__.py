"""Every format of the project, defined once: packets, messages and files."""
