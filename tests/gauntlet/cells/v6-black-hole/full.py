"""A port of IPv6 whose queue is full: what asks for a connection is not answered."""
import signal
import socket
import sys

port = int(sys.argv[1])
queue = socket.socket(socket.AF_INET6)
queue.bind(("::1", port))
queue.listen(0)
waiting = []
for _ in range(4):
    one = socket.socket(socket.AF_INET6)
    one.setblocking(False)
    one.connect_ex(("::1", port))
    waiting.append(one)
signal.pause()
