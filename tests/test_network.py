"""The network is off: other machines are refused at once, this one is not."""

import os
import socket
import threading
import urllib.request
from collections.abc import Callable

import pytest

import network

OTHERS: dict[str, Callable[[], object]] = {
    "connect": lambda: socket.create_connection(("192.0.2.1", 9), timeout=1),
    "connect_ex": lambda: socket.socket().connect_ex(("192.0.2.1", 9)),
    "six": lambda: socket.socket(socket.AF_INET6).connect(("2001:db8::1", 9)),
    "datagram": lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 9)),
    "message": lambda: socket.socket(type=socket.SOCK_DGRAM).sendmsg([b"x"], [], 0, ("192.0.2.1", 9)),
    "name": lambda: socket.getaddrinfo("example.org", 80),
    "old name": lambda: socket.gethostbyname("example.org"),
    "page": lambda: urllib.request.urlopen("http://192.0.2.1/", timeout=1),
}


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", OTHERS)
def test_other_machines_are_refused_and_the_test_fails(kind: str):
    with pytest.raises(network.NetworkError, match=r"network is off in tests: socket\.\w+ (192|2001|exam)"):
        OTHERS[kind]()
    with pytest.raises(pytest.fail.Exception, match=r"off in tests, but this was asked for: socket\."):
        network.judge()
    network.judge()  # told once


def test_a_swallowed_refusal_fails_too():
    def quiet() -> None:
        try:
            socket.getaddrinfo("example.org", 80)
        except Exception:
            return

    thread = threading.Thread(target=quiet)
    thread.start()
    thread.join()
    with pytest.raises(pytest.fail.Exception, match=r"socket\.getaddrinfo example\.org"):
        network.judge()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # that of a fork beside threads
@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_forked_children_have_no_network_either():
    child = os.fork()
    if child == 0:
        try:
            socket.create_connection(("192.0.2.1", 9), timeout=1)
        except network.NetworkError:
            os._exit(7)
        except BaseException:
            os._exit(8)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.3.2.1"])
def test_this_machine_is_reached(host: str):
    with socket.create_server(("127.0.0.1" if host == "localhost" else host, 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection((host, port), timeout=5) as client, server.accept()[0] as other:
            client.sendall(b"here")
            assert other.recv(4) == b"here"
    a, b = socket.socketpair()
    with a, b:
        a.sendmsg([b"x"])
        assert b.recv(1) == b"x"
