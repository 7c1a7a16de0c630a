"""Probing, judging, scheduling: the part that works alone, as a library. It knows no HTTP server and no SQL.

Imports go one way, api -> store -> engine; inside this folder from the top of this list to its end:

    engine       the assembly: nurseries, channels, what an embedding program calls
    reading      the calls that only ask
    director     the actor that adds, changes, pauses, resumes and deletes monitors
    writer, stats, hub   what listens at the other ends of the outlets: storage, statistics, subscribers
    memory       a store that keeps all in memory
    alerts/      who is told what: the outbox, the dispatcher, one file for each kind of channel
    actor        one monitor: sleep until due, probe, judge, hand out the heartbeat
    check        one check under its deadline, and what actors share
    outlets      the three bounded channels and what each does when it is full
    janitor      forgets what is older than it is kept
    supervisor   restarts a crashed actor, one for one
    timekeeper   wakes thousands of sleeping actors with one timer
    ports        what the engine needs of storage
    alerts.ports, alerts.delivery, alerts.channel, alerts.settings, alerts.message   what of alerts/ storage knows
    probes/      one file for each kind of monitor, and the registry
    net/         names, the egress guard, connecting, TLS
    report, restore, accounting, outages, sketch, schedule, verdict   the rules: functions over values, no clock, no socket
    records, certificate, monitor, fields, secrets, errors   the values
    kept, rwlock, clock, user_agent   answers kept for a moment, a lock that readers share, the wall clock, our name in HTTP
"""
