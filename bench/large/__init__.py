"""What does it cost to have very much in the ledger, or to have had it?"""
