"""One training run each: the record, its seeds, the ledger, whoever runs many."""
