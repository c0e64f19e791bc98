"""The data plane: eBPF programs, their loader and maps, the engine agent, the packet generator."""
