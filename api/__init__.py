"""The REST and WebSocket server on top of the engine: a Quart-trio app, served with Hypercorn's protocols.

Imports go one way, api -> store -> engine; inside this folder from the top of this list to its end:

    app          puts it together: routes, the gate every request passes, error answers
    server       sockets, who is let in, shutdown
    connection   one client's bytes
    protocols    Hypercorn's, which make requests of them, put right
    requests     starts them, and knows whether one runs
    exchange     one request, as the app sees it
    turnstile    one request begins at a time, so that checks are in time
    monitors, channels, export, heartbeats, stats, health, live   the routes; live is the WebSocket
    status_pages   more of them
    public_page  what the public sees, and keeping it
    day_bars     its drawings
    incidents    what is said of trouble
    home         where to start, for who opens the server in a browser
    incident_rules, references   what an incident may be; monitors that bodies name
    reference    the OpenAPI document, and the page that shows it
    openapi      the document, made of what the routes say
    schemas      and of the types that they name
    pages        HTML from the templates beside it
    monitor_texts    monitors as JSON texts, kept
    monitor_models, channel_models   monitors and channels as JSON, each type with its own fields
    record_models    what both are made with
    field_docs       what their fields mean, as the documentation has it
    access       puts together what knows people
    sessions, totp, users, keys, workspaces, audit   the routes about people
    myself       the user behind a request
    gate         who is asking, whether they may ask that often, and whether they may ask for that
    auditor      writes the audit log
    credentials  passwords, one-time passwords, and how often they may be tried
    auth, keyring    tokens, sessions, the first user; API keys in memory
    identity     who somebody is, what they may do, and who is told when that ends
    passwords    hashing, in worker threads
    limits       the rate-limit rules: values and an injected time, no clock
    cors         which pages of other origins may use the API
    describe     what each route says of itself: whom it lets in, what goes in and out
    listing      lists in pages
    bodies       what comes in: JSON bodies and query values, checked field by field
    shapes       what goes out: records as the JSON of the API reference
    errors       the one shape of every error
    settings     what a deployment may set

A route sends one command to the engine and waits for the answer: a client that disconnects cancels its route, two
seconds later at most, and never leaves half a change behind.
"""
