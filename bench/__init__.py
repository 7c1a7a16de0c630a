"""The benchmark harness: `python -m bench`. Figures are printed and kept, never asserted: machines are shared and noisy.

What a figure means is the same for every scenario: the subject has one core for itself, the target and whoever drives the subject
have the other, and CPU is what the operating system accounts to the whole process. From the top of this list to its end:

    __main__     the command: which scenarios, how long, what is kept
    scenarios/   one file for each question that is asked
    report, charts    what comes out: the table, the records, the page in docs/, the drawings
    steady       a server with many monitors, watched for a while
    server       the real `peekaping serve` on a database of its own
    peers        what else is measured: environments of their own, made here from pinned requirements
    lab          processes on their cores, and what all scenarios are given
    figures      the values, and when one has become worse

`target`, `worker`, `bare`, `bare_app`, `storing` and `subscribers` are programs of their own, which scenarios start.
Deterministic costs (steps, system calls, bytes) are tests, in tests/bench.
"""
