"""The data plane's benchmark: its programs beside their peers, interleaved in one run."""
