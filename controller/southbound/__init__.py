"""The OpenFlow side: discovery, hosts, flows by difference, the socket to the brain."""
