"""HTTPS with a full handshake for each check, beside `openssl s_time -new`: C that does nothing else, on the same server.

Compared are connections for each second of the client's CPU time: s_time has one connection at a time and waits for the server
between them, which costs it nothing here. Ours is the whole path, stored.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import trustme

from bench.figures import Figure
from bench.lab import Lab, free_port, output_of, program, started
from bench.steady import watch

MONITORS = 700
"""A rate that one core makes: s_time asks as fast as it is answered, too."""

_NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/nginx-errors.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache off; ssl_session_tickets off;
    server {{
        listen 127.0.0.1:{port} ssl backlog=4096;
        ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.key;
        location / {{ return 200 "ok\\n"; }}
    }}
}}
"""


def run(lab: Lab) -> list[Figure]:
    openssl, seconds = program("openssl", "openssl"), lab.pick(10, 2)
    ours: list[float] = []
    theirs: list[float] = []
    with _tls_target(lab) as (port, authority):
        for _ in lab.rounds():
            trusting = {"SSL_CERT_FILE": str(authority)}
            seen = watch(lab, MONITORS, f"https://127.0.0.1:{port}/", 1000, seconds, environment=trusting)
            ours.append(1e6 / seen.cpu_us)
            lab.tell("openssl s_time")
            theirs.append(_s_time(lab, openssl, port, authority, seconds))
    return [
        Figure(
            name="HTTPS connections, full handshake, in a second of CPU",
            unit="1/s",
            ours=ours,
            peer="openssl s_time",
            peers=theirs,
            better="more",
            goal=0.7,
            goal_for="ratio",
        )
    ]


def _s_time(lab: Lab, openssl: str, port: int, authority: Path, seconds: int) -> float:
    command = [openssl, "s_time", "-connect", f"127.0.0.1:{port}", "-new", "-www", "/", "-time", str(seconds)]
    before = os.times()
    output = output_of(lab, [*command, "-CAfile", authority], lab.subject_core, seconds + 30, "s_time.log")
    after = os.times()
    done = re.search(r"(\d+) connections in \d+ real seconds", output)
    if done is None or not int(done[1]):
        raise RuntimeError(f"openssl s_time said nothing useful: {output}")
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return int(done[1]) / cpu_s


@contextmanager
def _tls_target(lab: Lab) -> Iterator[tuple[int, Path]]:
    """nginx with TLS on the other core: its port, and the authority that signed its certificate."""
    folder = lab.folder / "tls"
    folder.mkdir()
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(folder / "authority.pem")
    certificate.private_key_pem.write_to_path(folder / "server.key")
    for part in certificate.cert_chain_pems:
        part.write_to_path(folder / "server.pem", append=True)
    port, config = free_port(), folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, port=port))
    command = [program("nginx", "nginx-light"), "-p", folder, "-e", folder / "nginx-errors.log", "-c", config]
    with started(command, lab.other_core, folder / "nginx.log"):
        ends = time.monotonic() + 10
        while True:
            try:
                httpx.get(f"https://127.0.0.1:{port}/", verify=False)
                break
            except httpx.ConnectError:
                if time.monotonic() > ends:
                    raise
                lab.wait(0.1)
        yield port, folder / "authority.pem"
