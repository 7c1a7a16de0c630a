"""Telling people: what is said, to whom and when, and the services it is said through.

Modules import each other from the top of this list to its end:

    directory       channels as users see them: made, changed, tried out
    outbox          the dispatcher: sends what is stored to be sent
    reminder        tells what no heartbeat tells
    alerting        what the writer and the director ask: what is to be told of this
    memory, ports   the outbox in memory, and what every store does for it
    rules           whom, when, how often: functions over values
    delivery, settings   the values
    channels/       one file for each kind, and the registry
    apprise_child   a process that sends by Apprise
    smtp            one mail
    web             HTTP, threads, processes and the egress guard, as kinds use them
    http_client     httpx on the connections of probes
    worded          what channels for people share
    templates       users' own words (Liquid)
    channel         what every kind has
    message         what is said
"""
