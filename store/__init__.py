"""SQLite behind the engine's storage protocol, and the accounts of the API. Imports the engine's records, never the API.

From the top of this list to its end:

    sqlite       SqliteStore: the engine's `Store` on one file
    accounts     users, sessions and secrets, for the API
    keys, totp, workspaces, audit   API keys, one-time passwords, workspaces and the audit log, for the API
    alerts       that part of SqliteStore which is about channels and the outbox
    pruning, channels, monitors, outbox, rollups, heartbeats, certificates, outages   the statements, as functions within a
                 transaction
    status_pages, incidents   the public's pages and what is said of trouble, for the API
    database     one file: who may open it, one writing connection, a few reading ones, transactions on worker threads
    vault        secrets sealed, with a key beside the file
    migrations   the schema, as the steps that led to it
    errors       what storage refuses
"""

from peekaping.store.accounts import Accounts as Accounts
from peekaping.store.accounts import Rotation as Rotation
from peekaping.store.accounts import User as User
from peekaping.store.database import Database as Database
from peekaping.store.errors import CannotOpen as CannotOpen
from peekaping.store.errors import EmailTaken as EmailTaken
from peekaping.store.sqlite import SqliteStore as SqliteStore
