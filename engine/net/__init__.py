"""The network as probes see it: names to addresses, the egress guard, connections with or without TLS.

Whatever goes wrong is raised as `Failed`, translated once, here, with the blame decided: the target's fault is `down`, our own is
`unknown`. Times come from trio's clock. Nothing here knows HTTP.

Modules import each other from the top of this list to its end:

    network      the seam: what a probe may ask, and this host's way to do it
    connection   one connection, or the first of several that answers
    resolver     names to addresses
    host_files   what resolv.conf and the hosts file say
    nameservers  one question, and whose fault it is when there is no answer
    icmp         echo requests
    readiness    waits for sockets, one epoll for all
    egress       the guard
    tls          how to shake hands
    address      IP addresses as texts
    failure      what goes wrong, and whose fault it is
    gateway      whether this host's own gateway answers
    trace        where the time of a check went
"""
