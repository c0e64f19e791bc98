"""The errors of the data plane: each says what to do."""


class DataplaneError(Exception):
    """The data plane cannot do what it was asked to do."""


class BpfError(DataplaneError, OSError):
    """A bpf(2) call failed; ``errno`` is the kernel's."""


class LoadError(DataplaneError):
    """The programs could not be compiled, verified or pinned."""


class AttachError(DataplaneError):
    """A program could not be attached to an interface."""
