"""Who really wrote a message: SPF, DKIM, ARC and DMARC, as values and pure functions.

| module | gives | from |
|---|---|---|
| values | the verdicts | |
| spf_record, spf_check | `SpfVerdict` | client, HELO, reverse-path, `Lookup` (RFC 7208) |
| signatures, arc_chain | `DkimSignature`, `ArcVerdict` | fields, body, `Lookup` (RFC 6376, 8617) |
| dmarc | `DmarcVerdict` | author, SPF and DKIM verdicts, `Lookup` (RFC 9989) |
| results_field | the Authentication-Results field | an `Authentication` (RFC 8601) |
| seal | the three ARC fields | header block, body hash, results, key (RFC 8617) |

Nothing here waits for anything but the `Lookup` it is given, and nothing raises for what a stranger
wrote: broken input is a verdict.
"""
