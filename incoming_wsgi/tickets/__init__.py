"""Where tickets and what is known of their uploads are kept. `base.py` is the contract."""
