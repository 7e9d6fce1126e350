"""Trust: what is done with mail by who wrote it, the lists, the sealers, and the dry run."""
