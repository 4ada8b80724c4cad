# SPDX-License-Identifier: Apache-2.0
"""Proxies between a client and the API server that break what passes. All settings may be changed at any time.

ByteProxy passes TLS through and spoils its bytes; HttpProxy ends TLS with a certificate of the test's CA, so that it can
answer single requests itself. Each counts what it saw.
"""

import contextlib
import random
import re
import select
import socket
import ssl
import struct
import threading
import time

TCP_REPAIR = 19  # linux/tcp.h: a socket closed in this state sends neither FIN nor RST


def hang_up(sock, reset=False):
    with contextlib.suppress(OSError):
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            sock.shutdown(socket.SHUT_RDWR)
    sock.close()


class Proxy:
    """Accepts on a port of its own; serve() has a thread for each connection."""

    def __init__(self, port, upstream):
        self.port, self.upstream = port, upstream
        self.lock, self.clients, self.accepted = threading.Lock(), [], []
        self.listening = socket.create_server(("127.0.0.1", port), backlog=128)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _address = self.listening.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.accepted.append(time.monotonic())
                self.clients.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with contextlib.suppress(OSError, ValueError):
            self.serve(client)
        with self.lock:
            if client in self.clients:
                self.clients.remove(client)
        hang_up(client)

    def connections(self, since):
        """How many were made since that time.monotonic()."""
        with self.lock:
            return sum(at >= since for at in self.accepted)

    def close(self):
        with contextlib.suppress(OSError):
            self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        self.reset_all()

    def reset_all(self):
        """RST to every client."""
        with self.lock:
            clients, self.clients = self.clients, []
        for client in clients:
            with contextlib.suppress(OSError):
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                socket.socket.shutdown(client, socket.SHUT_RD)  # wakes its thread, which closes it


class ByteProxy(Proxy):
    """Bytes, whatever they are."""

    def __init__(self, port, upstream, seed=1):
        self.dice = random.Random(seed)
        self.refuse = False      # hangs up at once
        self.blackhole = False   # takes everything, passes nothing on, ends nothing
        self.piece = 65536       # bytes from the server at once
        self.delay = 0           # seconds before each
        self.cut_after = None    # (least, most) bytes from the server, then RST
        super().__init__(port, upstream)

    def serve(self, client):
        if self.refuse:
            return
        server = socket.create_connection(("127.0.0.1", self.upstream))
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=self._to_server, args=(client, server), daemon=True).start()
        try:
            self._to_client(client, server)
        finally:
            hang_up(server)

    def _to_server(self, client, server):
        with contextlib.suppress(OSError, ValueError): # ValueError: vanish() has closed it
            while True:
                # Not in recv(): a thread that blocks there would keep the connection from vanishing.
                if not select.select([client], [], [], 0.1)[0]:
                    continue
                data = client.recv(65536)
                if not data:
                    break
                if not self.blackhole:
                    server.sendall(data)
        hang_up(server)

    def _to_client(self, client, server):
        left = self.dice.randint(*self.cut_after) if self.cut_after else None
        while data := server.recv(65536):
            if self.blackhole:
                continue
            if left is not None:
                data, left = data[:left], left - len(data)
            for at in range(0, len(data), self.piece):
                time.sleep(self.delay)
                client.sendall(data[at:at + self.piece])
            if left is not None and left <= 0:
                hang_up(client, reset=True)
                return

    def vanish(self):
        """Every connection is gone on this side without a word, as after a crash or behind a NAT that forgot it."""
        with self.lock:
            clients, self.clients = self.clients, []
        for client in clients:
            client.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
            client.close()
        return len(clients)


class Rule:
    """What to do with the next `times` requests whose method and path match."""

    def __init__(self, pattern, action, times=1):
        self.pattern, self.action, self.left = re.compile(pattern), action, times


class HttpProxy(Proxy):
    """Requests one by one. What no rule takes is passed on, on a connection of its own."""

    def __init__(self, cluster, port):
        self.outer = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.outer.load_cert_chain(*map(str, cluster.pki.certificate("fault-proxy", "/CN=fault-proxy", "IP:127.0.0.1")))
        self.inner = ssl.create_default_context(cafile=str(cluster.pki.ca))
        self.servers = []
        self.rules, self.seen = [], []  # seen: (time.monotonic(), "GET /path", status line or "")
        super().__init__(port, cluster.port)

    def add(self, pattern, action, times=1):
        """action: function(client, request line) that answers, or function(bytes) -> bytes named rewrite_*."""
        rule = Rule(pattern, action, times)
        self.rules.append(rule)
        return rule

    def requests(self, pattern, since=0):
        with self.lock:
            return [line for at, line in self.seen if at >= since and re.search(pattern, line)]

    def _rule(self, line):
        with self.lock:
            self.seen.append((time.monotonic(), line))
            for rule in self.rules:
                if rule.left > 0 and rule.pattern.search(line):
                    rule.left -= 1
                    return rule
        return None

    def serve(self, client):
        with self.outer.wrap_socket(client, server_side=True) as tls:
            head = b""
            while b"\r\n\r\n" not in head:
                data = tls.recv(65536)
                if not data:
                    return
                head += data
            head, body = head.split(b"\r\n\r\n", 1)
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            while length and len(body) < int(length[1]):
                body += tls.recv(65536)
            rule = self._rule(head.split(b" HTTP/", 1)[0].decode())
            if rule and not rule.action.__name__.startswith("rewrite_"):
                rule.action(tls)
                return
            if rule:
                head = rule.action(head)
            self._pass_on(tls, head + b"\r\nConnection: close\r\n\r\n" + body)

    def _pass_on(self, tls, request):
        raw = socket.create_connection(("127.0.0.1", self.upstream))
        with self.inner.wrap_socket(raw, server_hostname="127.0.0.1") as server:
            with self.lock:
                self.servers.append(server)
            try:
                server.sendall(request)
                while data := server.recv(65536):
                    tls.sendall(data)
            finally:
                with self.lock:
                    self.servers.remove(server)

    def reset_all(self):
        """Ends every request that is under way, in the midst of its answer."""
        with self.lock:
            for server in self.servers:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(server, socket.SHUT_RDWR)  # wakes its thread, which hangs up on both


# --- answers ---------------------------------------------------------------------------------------------------------

def answer(status, body="{}", headers=""):
    def send(tls):
        tls.sendall(f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{headers}"
                    f"Connection: close\r\n\r\n{body}".encode())
    return send


def stream(*lines):
    """A watch that says this and ends well."""
    def send(tls):
        tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
                    b"Connection: close\r\n\r\n")
        for line in lines:
            tls.sendall(f"{len(line):x}\r\n{line}\r\n".encode())
        tls.sendall(b"0\r\n\r\n")
    return send
