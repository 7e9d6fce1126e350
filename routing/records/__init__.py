"""What a domain should publish, what the DNS says of it now, and what to do about the difference.

    wanted.py     a domain's facts            -> Wanted, one a record          pure
    asking.py     questions to the DNS        -> Seen, one a question          the only I/O
    verdicts.py   Wanted and Seen             -> Finding: verdict, words, advice   pure
    report.py     Findings as they are kept in DomainCheck.report              pure
    texts.py      values as providers want them typed, and as a zone file      pure

One record's fault never hides another's: each has a Finding of its own, and trouble with the DNS is
a verdict of its own, never "missing".
"""
