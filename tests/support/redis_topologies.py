"""More than one Redis: a cluster of three, a master with sentinels, and TLS in front of a server."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import trustme

from tests.support.redis_server import RedisServer, free_port, server_binary

_SLOTS = 16_384
MASTER = "tickets"  # what the sentinels call it


def until(holds: object, limit_s: float = 20.0) -> None:
    """Asks again and again until it holds."""
    assert callable(holds)
    deadline = time.monotonic() + limit_s
    while not holds():
        if time.monotonic() > deadline:
            raise RuntimeError("it does not come about")
        time.sleep(0.02)


class Cluster:
    """Three masters without replicas; a third of the keys each."""

    def __init__(self, folder: Path) -> None:
        self._buses = [free_port() for _ in range(3)]
        self.nodes = [self._node(folder / str(index), index) for index in range(3)]

    def _node(self, folder: Path, index: int) -> RedisServer:
        folder.mkdir()
        return RedisServer(
            folder, "--cluster-enabled", "yes", "--cluster-node-timeout", "1000",
            "--cluster-require-full-coverage", "no", "--cluster-port", str(self._buses[index]),
        )  # fmt: skip

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def start(self) -> None:
        first, share = self.nodes[0], _SLOTS // 3 + 1
        for index, node in enumerate(self.nodes):
            node.start()
            slots = (str(index * share), str(min((index + 1) * share, _SLOTS) - 1))
            node.command("CLUSTER", "ADDSLOTSRANGE", *slots)
            node.command("CLUSTER", "SET-CONFIG-EPOCH", str(index + 1))
        for node, bus in zip(self.nodes[1:], self._buses[1:], strict=True):
            first.command("CLUSTER", "MEET", "127.0.0.1", str(node.port), str(bus))
        until(self._is_whole)

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()

    def _is_whole(self) -> bool:
        states = [node.command("CLUSTER", "INFO") for node in self.nodes]
        return all(b"cluster_state:ok" in s and b"cluster_known_nodes:3" in s for s in states)


class Watched:
    """A master, its replica, and two sentinels that must agree before they change the roles."""

    def __init__(self, folder: Path) -> None:
        for name in ("master", "replica"):
            (folder / name).mkdir()
        self.master = RedisServer(folder / "master")
        self.replica = RedisServer(
            folder / "replica", "--replicaof", "127.0.0.1", str(self.master.port),
            "--repl-diskless-sync-delay", "0",
        )  # fmt: skip
        self.sentinels = [Sentinel(folder, self.master.port) for _ in range(2)]

    @property
    def url(self) -> str:
        return f"redis+sentinel://{','.join(each.address for each in self.sentinels)}/{MASTER}/0"

    def start(self) -> None:
        self.master.start()
        self.replica.start()
        for sentinel in self.sentinels:
            sentinel.start()

    def wait_for_agreement(self) -> None:
        """Until the sentinels could change the roles; they greet each other every two seconds."""
        until(lambda: b"master_link_status:up" in self.replica.command("INFO", "replication"))
        until(lambda: all(each.sees_all() for each in self.sentinels))

    def stop(self) -> None:
        for sentinel in self.sentinels:
            sentinel.stop()
        self.replica.stop()
        self.master.stop()


class Sentinel(RedisServer):
    """One sentinel: the same program, with a file of its own that it writes to."""

    def __init__(self, folder: Path, master_port: int) -> None:
        super().__init__(folder)
        self.address = f"127.0.0.1:{self.port}"
        self._file = folder / f"sentinel-{self.port}.conf"
        self._file.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {folder}\n"
            f"sentinel monitor {MASTER} 127.0.0.1 {master_port} 2\n"
            f"sentinel down-after-milliseconds {MASTER} 500\n"
            f"sentinel failover-timeout {MASTER} 2000\n"
        )

    def start(self) -> None:
        self._process = subprocess.Popen(
            [server_binary(), str(self._file), "--sentinel"], stdout=subprocess.DEVNULL
        )
        until(self._pong)

    def sees_all(self) -> bool:
        """It knows the replica and the other sentinel, so that it could change the roles."""
        state = self.command("INFO", "sentinel")
        return b"slaves=1,sentinels=2" in state


@contextmanager
def running(topology: Cluster | Watched) -> Iterator[None]:
    """Started, and stopped whatever happens."""
    try:
        topology.start()
        yield
    finally:
        topology.stop()


class Encrypted:
    """TLS in front of a server, with a certificate authority of the test's own."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.port = free_port()
        self.authority_file = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(self.authority_file))
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._authority = authority
        self.prove()

    def prove(self) -> None:
        """Shows a certificate that its authority signed to whoever connects from now on."""
        found = self._authority.issue_cert("localhost", "127.0.0.1")
        found.configure_cert(self.context)

    @property
    def trusting_url(self) -> str:
        return f"rediss://127.0.0.1:{self.port}/0?ssl_ca_certs={self.authority_file}"

    @property
    def url(self) -> str:
        return f"rediss://127.0.0.1:{self.port}/0"


@asynccontextmanager
async def encrypted(folder: Path, target_port: int) -> AsyncIterator[Encrypted]:
    """Takes TLS on its port and passes on plain bytes."""
    door = Encrypted(folder)
    pumps: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", target_port)
        except OSError:
            writer.close()
            return
        for source, sink in ((reader, back), (there, writer)):
            pumps.add(asyncio.create_task(_pump(source, sink)))

    server = await asyncio.start_server(accept, "127.0.0.1", door.port, ssl=door.context)
    try:
        yield door
    finally:
        server.close()
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while data := await source.read(65_536):
            sink.write(data)
            await sink.drain()
    sink.close()
