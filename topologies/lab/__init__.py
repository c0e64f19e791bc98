"""The demo's lab: namespaces, a private Open vSwitch, the processes, the replay."""
