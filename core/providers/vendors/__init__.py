"""One file for each provider. Imports the contract, the wire and answers only."""
