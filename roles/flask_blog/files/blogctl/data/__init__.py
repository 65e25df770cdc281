"""The blog's data: snapshots, transactions, first data, copies."""
