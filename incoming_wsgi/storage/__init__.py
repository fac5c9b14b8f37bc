"""Where the bytes of uploads are kept. `base.py` is the contract, each other file one back end."""
