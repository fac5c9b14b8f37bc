"""Ways to read a request's body, each of which knows one kind of `wsgi.input`."""
