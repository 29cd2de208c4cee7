"""Free ports."""

import socket

from sandbox.ports import free_port


def test_a_free_port_can_be_bound_and_no_outgoing_connection_takes_it() -> None:
    """It is below the range of ephemeral ports."""
    ports = {free_port() for _ in range(20)}

    assert len(ports) > 1
    assert all(1_024 < port < 32_768 for port in ports)
    for port in ports:
        with socket.socket() as server:
            server.bind(("127.0.0.1", port))
