"""Packaging. The version and the description come from the package and the README."""

import re
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent
VERSION = re.search(
    r'^__version__ = "(.+)"$', (HERE / "incoming_wsgi/__init__.py").read_text(), re.MULTILINE
)
assert VERSION is not None

SERVER = ["gunicorn>=21"]
EXAMPLES = ["bottle>=0.13"]
# The other servers that people use; incoming_wsgi itself needs none of them. How these generations
# read what is malformed stands in tests/hostile.
OTHER_SERVERS = [
    "cheroot>=11,<12",
    "gevent>=24.10.1",
    "granian>=2.8,<3",
    "pyuwsgi>=2.0.28,<2.1",
    "waitress>=3,<4",
]

setup(
    name="incoming_wsgi",
    version=VERSION[1],
    description="Large-file uploads for Python web applications: resumable, durable, pure WSGI",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    packages=[
        "incoming_wsgi",
        "incoming_wsgi.dialects",
        "incoming_wsgi.readers",
        "incoming_wsgi.static",
        "incoming_wsgi.storage",
        "incoming_wsgi.testing",
        "incoming_wsgi.tickets",
    ],
    # The browser library stands at the top level and is installed inside the package.
    package_dir={"incoming_wsgi.static": "static"},
    package_data={
        "incoming_wsgi": ["py.typed"],
        "incoming_wsgi.static": [
            "incoming.js",
            "incoming.mjs",
            "incoming-upload.js",
            "incoming-upload.mjs",
            # for bundlers
            "*.d.ts",
            "*.d.mts",
        ],
    },
    install_requires=["click>=8.1", "requests>=2.28", "webob>=1.8.10"],
    extras_require={
        "server": SERVER,
        "examples": EXAMPLES,
        "test": [
            *SERVER,
            *OTHER_SERVERS,
            *EXAMPLES,
            "hypothesis>=6.100",
            "pytest>=8",
            "pytest-timeout>=2.3",
            "tuspy>=1.1,<2",
            "webtest>=3.0.1",
        ],
    },
    entry_points={"console_scripts": ["incoming = incoming_wsgi.cli:main"]},
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Web Environment",
        "Intended Audience :: Developers",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Internet :: WWW/HTTP :: WSGI",
        "Typing :: Typed",
    ],
)
