"""When does a name server show it: ``python -m tests.integration.dns_watch PORT NAME``.

For every line of addresses on its input it asks until these are the answer, and prints when that
was (CLOCK_MONOTONIC). A process of its own, so that it takes nobody's time but a processor's.
"""

import socket
import sys
import time

import dns.message


def main() -> None:
    """Watch until the input ends."""
    port, name = int(sys.argv[1]), sys.argv[2]
    query = dns.message.make_query(name, "A").to_wire()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.connect(("127.0.0.1", port))
        asking.settimeout(1.0)
        for line in sys.stdin:
            wanted = frozenset(socket.inet_aton(one) for one in line.split())
            print("watching", flush=True)
            while True:
                asking.send(query)
                # the name stands once in the question; addresses are the last 4 bytes of 16 each
                answer = asking.recv(4096)
                records = answer[len(query) :]
                if (
                    frozenset(records[at + 12 : at + 16] for at in range(0, len(records), 16))
                    == wanted
                ):
                    break
                time.sleep(0.0002)
            print(time.monotonic(), flush=True)


if __name__ == "__main__":
    main()
