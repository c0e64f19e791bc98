"""All streams of one agent: its engines' tables to their shadows, others' tables to its engines.

Still no input, output or clock; ``udp.py`` adds them. The agent says which engines it serves
(``serve``), who their shadows are (``send_to``) and for whom its engines are shadows (``hold``).
"""

import secrets
from collections import Counter
from collections.abc import Callable, Hashable, Mapping

from dataplane.shadow.board import Board
from dataplane.shadow.receiver import Receiver, ReceiverTimes
from dataplane.shadow.replica import Replica
from dataplane.shadow.sender import Sender, SenderTimes
from dataplane.shadow.table import ConnectionTable
from headers.errors import PacketError
from headers.messages import StreamReport
from headers.replication import split
from headers.replication.frame import FROM_SHADOW

Address = Hashable
Stream = tuple[int, int]
"""A primary's and a shadow's engine number."""


class Replicator:
    """The streams of one agent.

    ``secret``: the domain's; ``random``: makes nonces, and must be the system's outside of tests.
    """

    def __init__(
        self,
        secret: bytes,
        *,
        sender_times: SenderTimes | None = None,
        receiver_times: ReceiverTimes | None = None,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.board = Board()
        self.tables: dict[int, ConnectionTable] = {}
        self.senders: dict[Stream, Sender] = {}
        self.receivers: dict[Stream, Receiver] = {}
        self.counts: Counter[str] = Counter()
        self._secret = secret
        self._sender_times = sender_times
        self._receiver_times = receiver_times
        self._random = random
        self._addresses: dict[Stream, Address] = {}
        self._answers: list[tuple[Address, bytes]] = []

    def serve(self, engine: int, slots: int) -> ConnectionTable:
        """Return the table of an engine here, made with room for ``slots`` if it is new."""
        table = self.tables.get(engine)
        if table is None:
            table = self.tables[engine] = ConnectionTable(engine, slots)
        return table

    def send_to(self, engine: int, shadows: Mapping[int, Address], generation: int) -> None:
        """Have an engine's connections sent to these shadows and no others.

        ``shadows``: by engine number, where their agents are; ``generation``: of the ownership.
        """
        table = self.tables[engine]
        for stream in [s for s in self.senders if s[0] == engine and s[1] not in shadows]:
            self.senders.pop(stream).close()
            del self._addresses[stream]
        for shadow, address in shadows.items():
            stream = engine, shadow
            self._addresses[stream] = address
            sender = self.senders.get(stream)
            if sender is None:
                self.senders[stream] = Sender(
                    table,
                    shadow,
                    self._secret,
                    generation,
                    self.board,
                    self._sender_times,
                    self._random,
                )
            elif sender.generation != generation:
                sender.renew(generation)

    def hold(self, primary: int, shadow: int, slots: int) -> Receiver:
        """Have an engine here be another's shadow, with room for ``slots`` connections."""
        stream = primary, shadow
        receiver = self.receivers.get(stream)
        if receiver is None:
            receiver = self.receivers[stream] = Receiver(
                Replica(primary, slots),
                shadow,
                self._secret,
                self.board,
                self._receiver_times,
                self._random,
            )
        return receiver

    def release(self, primary: int, shadow: int) -> None:
        """Be another's shadow no longer; the replica is gone."""
        self.receivers.pop((primary, shadow), None)
        self._addresses.pop((primary, shadow), None)

    def receive(self, datagram: bytes, address: Address, now_us: int) -> None:
        """Take a datagram that came from an address."""
        try:
            header, _ = split(datagram)
        except PacketError as error:
            self.counts[error.reason] += 1
            return
        stream = header.primary, header.shadow
        if header.kind in FROM_SHADOW:
            sender = self.senders.get(stream)
            if sender is None:
                self.counts["unknown_stream"] += 1
            else:
                sender.receive(datagram, now_us)
            return
        receiver = self.receivers.get(stream)
        if receiver is None:
            self.counts["unknown_stream"] += 1
            return
        if receiver.receive(datagram, now_us):
            self._addresses[stream] = address
        self._answers += ((address, answer) for answer in receiver.answers())

    def poll(self, now_us: int) -> list[tuple[Address, bytes]]:
        """Return the datagrams to send now, with their addresses."""
        out, self._answers = self._answers, []
        for stream, receiver in self.receivers.items():
            out += ((self._addresses[stream], datagram) for datagram in receiver.poll(now_us))
        for stream, sender in self.senders.items():
            out += ((self._addresses[stream], datagram) for datagram in sender.poll(now_us))
        return out

    def due_us(self, now_us: int) -> int | None:
        """Return when ``poll`` has something to do next; None if there are no streams."""
        if self._answers:
            return now_us
        dues = [sender.due_us(now_us) for sender in self.senders.values()]
        dues += [due for r in self.receivers.values() if (due := r.due_us()) is not None]
        return min(dues, default=None)

    def status(self, now_us: int) -> tuple[StreamReport, ...]:
        """Return what is known of every stream."""
        return tuple(
            [self._of_sender(sender, now_us) for sender in self.senders.values()]
            + [self._of_receiver(receiver, now_us) for receiver in self.receivers.values()]
        )

    @staticmethod
    def _of_sender(sender: Sender, now_us: int) -> StreamReport:
        ack = sender.last_ack
        return StreamReport(
            sender.table.engine,
            sender.shadow,
            "primary",
            sender.phase.value,
            ack.held if ack else 0,
            ack.unheld if ack else 0,
            ack.lag_us / 1e3 if ack else -1.0,
            sender.behind_us(now_us) / 1e3,
            sender.rtt_us / 1e3,
            sender.counts["compared"],
            sender.counts["repairs"],
            dict(sender.counts),
        )

    @staticmethod
    def _of_receiver(receiver: Receiver, now_us: int) -> StreamReport:
        behind = receiver.behind_us(now_us)
        return StreamReport(
            receiver.replica.primary,
            receiver.shadow,
            "shadow",
            receiver.phase,
            len(receiver.replica),
            receiver.replica.unheld,
            receiver.lag.percentile_us(0.99) / 1e3,
            behind / 1e3 if behind is not None else -1.0,
            0.0,
            receiver.counts["compared"],
            receiver.counts["diverged"],
            dict(receiver.counts + receiver.replica.counts),
        )
