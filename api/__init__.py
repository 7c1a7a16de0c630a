"""The REST and WebSocket server on top of the engine: a Quart-trio app, served with Hypercorn's connection code.

Imports go one way, api -> store -> engine; inside this folder from the top of this list to its end:

    app          puts it together: routes, the gate every request passes, error answers
    server       sockets, connections, shutdown
    monitors, heartbeats, stats, sessions, health, live   the routes; live is the WebSocket
    gate         who is asking, and whether they may ask that often
    auth         tokens, sessions, the first user
    passwords    hashing, in worker threads
    limits       the rate-limit rules: values and an injected time, no clock
    bodies       what comes in: JSON bodies and query values, checked field by field
    shapes       what goes out: records as the JSON of the API reference
    errors       the one shape of every error
    settings     what a deployment may set

A route sends one command to the engine and waits for the answer: a client that disconnects cancels its route, and never
leaves half a change behind.
"""
