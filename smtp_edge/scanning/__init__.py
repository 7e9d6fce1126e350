"""Scanners of the installation: rspamd, SpamAssassin's spamd and ClamAV's clamd, any combination.

How the edge calls it, once for a transaction that is going to be kept:

    scan = scanners.begin(ScanRequest(envelope, recipients, trace=trace))
    await scan.feed(octets)              # each piece, as it is stored; never waits for a scanner
    await scan.results(client_name)      # at the end of data: one ScanResult for each scanner
    scan.abandon()                       # instead, when the message is refused or the client leaves

Give `client_name` where it is verified: rspamd thinks less of clients without (2.5 points).

`results` may run beside verification (`asyncio.gather`); it takes MXAX_SCAN_SECONDS at most, never
raises, and cancelling it ends everything under way. `abandon` may be called at any time, more than
once, also after `results`.

| module | what |
|---|---|
| scanners | `Scanners`, `Scan`: what the edge holds |
| spool | the octets until the scanners have had them, a few pieces of them in memory |
| cluster | several addresses of one scanner: health, the least busy first, another try |
| exchange | one question to one address |
| rspamd, spamd, clamd | the three protocols: what is said, and how the answer reads |

A message is handed over when all of it is there, not while the client still sends: scanners judge
whole messages only, and a client that sends slowly must neither occupy one nor wear out its
patience. So every try has all the octets, and a second address can be asked whatever the size.
"""
