"""The ledger for those who look: read-only, beside a run that writes, in milliseconds.

    reading.py   open a workspace's ledger
    filters.py   which calls are wanted
    runs.py      runs, and how far each stage of one is
    calls.py     lists of calls by filters, a page at a time; one call whole
    nodes.py     what became of a node at each hop; who fell back and why; texts; ids by prefix
    figures.py   calls, tokens, money, latency, repairs and fallbacks by stage, hop, prompt, model

Each function takes the connection that `reading` gives. Chroma is never opened.
"""
