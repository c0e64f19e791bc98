"""The controller: the southbound OpenFlow application and the brain that decides."""
