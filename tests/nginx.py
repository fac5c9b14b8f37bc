"""A real nginx in front of a server, as it is when nobody has read its manual.

    with nginx(server.port, folder=tmp_path) as front:
        requests.put(front.url + "/incoming/…", data)  # 413 above 1 MiB

Its default limits hold: `client_max_body_size 1m`, requests and answers are buffered. `directives`
stand in the server block and can say otherwise:

    nginx(server.port, folder=tmp_path, directives="client_max_body_size 0;")

It passes the Host that it was asked for, unless `location` says otherwise:

    nginx(server.port, folder=tmp_path, location="proxy_pass http://behind;")

`configured_nginx` takes all that stands in the `http` block from its caller.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from servers import Server, free_port
from tools import program

__all__ = ["configured_nginx", "nginx"]

HOST = "127.0.0.1"
CONFIG = """\
daemon off;
{user}
pid {folder}/nginx.pid;
error_log stderr info;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/client_body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    scgi_temp_path {folder}/scgi;
    uwsgi_temp_path {folder}/uwsgi;
{http}
}}
"""
SERVER = """\
    server {{
        listen {host}:{port};
        {directives}
        location / {{ {location} }}
    }}
    upstream behind {{ server {host}:{upstream_port}; }}
"""
LOCATION = "proxy_set_header Host $http_host; proxy_pass http://{host}:{upstream_port};"


def nginx(
    upstream_port: int, *, folder: Path, directives: str = "", location: str = LOCATION
) -> Server:
    """nginx in front of `upstream_port`, not yet started; its files are below `folder`.

    In `location`, what `location /` says, {host} and {upstream_port} are the server behind it; it
    has the name `behind` too.

    Its error log is the server's `log`.
    """
    port = free_port()
    http = SERVER.format(
        host=HOST,
        port=port,
        upstream_port=upstream_port,
        directives=directives,
        location=location.format(host=HOST, upstream_port=upstream_port),
    )
    return configured_nginx(http, port=port, folder=folder)


def configured_nginx(http: str, *, port: int, folder: Path) -> Server:
    """nginx with `http` in its `http` block, which makes it listen at `port`; not yet started."""
    own = folder / f"nginx-{port}"
    own.mkdir()
    # Started by root, nginx would work as somebody who may not look into pytest's folders.
    user = f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else ""
    config = own / "nginx.conf"
    config.write_text(CONFIG.format(user=user, folder=own, http=http))
    # -e: before it has read where its log is, it would write to a file of the machine's.
    command = [program("nginx"), "-e", "stderr", "-p", str(own), "-c", str(config)]
    return Server(command, port=port, folder=folder)
