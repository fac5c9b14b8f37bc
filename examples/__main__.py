"""Starts all examples, each on a port of its own, and a page that leads to them.

    python examples

An example is a folder with a number and a backend.py; its port is 4000 and the number. They end
when this ends, however it ends: see WATCH.
"""

import ast
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import bottle
import click
import serving
from bottle import get, request, static_file, template

HERE = Path(__file__).resolve().parent
_config = {}  # filled by main()

# Between this process and each example stands a small one that reads a pipe from here. The pipe
# ends with this process, even if that is killed, and then the example is ended.
WATCH = """
import subprocess, sys, threading
example = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
def end_with_the_pipe():
    sys.stdin.read()
    example.terminate()
threading.Thread(target=end_with_the_pipe, daemon=True).start()
sys.exit(example.wait())
"""


@dataclass
class Example:
    folder: Path
    port: int
    title: str
    description: str
    trouble: str = ""


def find_examples():
    for backend in sorted(HERE.glob("[0-9]*-*/backend.py")):
        number = int(re.match("[0-9]+", backend.parent.name)[0])
        paragraph = ast.get_docstring(ast.parse(backend.read_text())).partition("\n\n")[0]
        title, _, description = " ".join(paragraph.split()).partition(". ")
        yield Example(backend.parent, 4000 + number, title, description)


@get("/")
def main_page():
    host = request.urlparts.hostname or "localhost"
    return template("index_tmpl.html", template_lookup=[str(HERE)], host=host, **_config)


@get("/style.css")
def style_sheet():
    return static_file("style.css", root=HERE)


def start(example, bind, folder, stack):
    """Start it and wait until it listens; `example.trouble` says if it does not."""
    if is_taken(bind, example.port):
        example.trouble = f"Not started: port {example.port} is taken."
        return
    command = [sys.executable, "-c", WATCH, sys.executable, example.folder / "backend.py"]
    command += ["--bind", bind, "--port", str(example.port)]
    if folder is not None:
        command += ["--folder", folder / example.folder.name]
    # In a session of its own: Ctrl-C is for this process, which then ends the others in order.
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    stack.callback(end, process)
    for line in process.stdout:
        if line.startswith("Open "):
            threading.Thread(target=pass_on, args=(process.stdout,)).start()
            return
        click.echo(line, nl=False)
    process.stdout.close()
    example.trouble = f"Not started: it ended with status {process.wait()}."


def is_taken(bind, port):
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((bind, port))
        except OSError:
            return True
    return False


def pass_on(output):
    with output:  # it ends with the example
        for line in output:
            click.echo(line, nl=False)


def end(process):
    process.stdin.close()
    process.wait()


@click.command()
@click.option("--port", default=4010, show_default=True, help="Of the page with the links.")
@click.option("--bind", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the files go.  [default: var, beside each example]",
)
def main(port, bind, folder):
    """All examples of Incoming, and a page that leads to them."""
    if is_taken(bind, port):
        raise click.ClickException(f"Port {port} is taken. Choose another one with --port.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    examples = list(find_examples())
    _config["examples"] = examples
    with ExitStack() as stack:
        for example in examples:
            start(example, bind, folder and folder.absolute(), stack)
            where = example.trouble or f"http://localhost:{example.port}/"
            click.echo(f"{example.title}: {where}")
        serving.serve_with_wsgiref(
            bottle.default_app(),
            bind,
            port,
            ready=lambda: click.echo(f"Open http://localhost:{port}/"),
        )


if __name__ == "__main__":
    main()
