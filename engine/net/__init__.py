"""The network as probes see it: names to addresses, the egress guard, connections with or without TLS.

Whatever goes wrong is raised as `Failed`, translated once, here, with the blame decided: the target's fault is `down`, our own is
`unknown`. Times come from trio's clock. Nothing here knows HTTP.
"""
